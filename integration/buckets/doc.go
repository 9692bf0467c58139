// Package buckets holds the S3 backend to its contract against real servers, over plain HTTP and over TLS.
//
// The counts are small unless JUPYTER_DRIVE_TEST_FULL is set.
package buckets
