package jupyterapi

import "strings"

// mimeTypes are those that clients get for a file's extension: the same on every machine, whatever is installed there.
var mimeTypes = map[string]string{
	"7z": "application/x-7z-compressed", "avi": "video/x-msvideo", "avif": "image/avif", "bat": "text/plain", "bin": "application/octet-stream", "bmp": "image/bmp",
	"bz2": "application/x-bzip2", "c": "text/plain", "css": "text/css", "csv": "text/csv", "doc": "application/msword",
	"docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "eot": "application/vnd.ms-fontobject",
	"epub": "application/epub+zip", "flac": "audio/flac", "geojson": "application/geo+json", "gif": "image/gif",
	"h": "text/plain", "h5": "application/x-hdf5", "htm": "text/html", "html": "text/html", "ico": "image/vnd.microsoft.icon",
	"jpeg": "image/jpeg", "jpg": "image/jpeg", "js": "text/javascript", "json": "application/json",
	"jsonl": "application/jsonl", "log": "text/plain", "m4a": "audio/mp4", "md": "text/markdown", "mjs": "text/javascript", "mov": "video/quicktime",
	"mp3": "audio/mpeg", "mp4": "video/mp4", "mpeg": "video/mpeg", "mpg": "video/mpeg", "ogg": "audio/ogg", "ogv": "video/ogg",
	"otf": "font/otf", "parquet": "application/vnd.apache.parquet", "pdf": "application/pdf", "png": "image/png",
	"ppt": "application/vnd.ms-powerpoint", "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	"ps": "application/postscript", "py": "text/x-python", "rst": "text/x-rst", "rtf": "application/rtf", "sh": "application/x-sh",
	"sql": "application/sql", "svg": "image/svg+xml", "tar": "application/x-tar", "tex": "application/x-tex", "tif": "image/tiff",
	"tiff": "image/tiff", "toml": "application/toml", "tsv": "text/tab-separated-values", "ttf": "font/ttf", "txt": "text/plain",
	"wasm": "application/wasm", "wav": "audio/x-wav", "webm": "video/webm", "webp": "image/webp", "woff": "font/woff",
	"woff2": "font/woff2", "xhtml": "application/xhtml+xml", "xls": "application/vnd.ms-excel",
	"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xml": "application/xml", "xsl": "application/xml",
	"xz": "application/x-xz", "yaml": "application/yaml", "yml": "application/yaml", "zip": "application/zip", "zst": "application/zstd",
}

// mimeOf returns the MIME type for a file's name, "" if its extension says nothing.
func mimeOf(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return ""
	}
	return mimeTypes[strings.ToLower(name[i+1:])]
}

// rawMimeOf returns the MIME type under which a file's bytes are sent.
func rawMimeOf(name string) string {
	switch kind := mimeOf(name); {
	case strings.HasSuffix(name, ".ipynb"):
		return "application/x-ipynb+json"
	case strings.HasSuffix(name, ".gz") || strings.HasSuffix(name, ".tgz"):
		return "application/gzip"
	case kind == "":
		return "application/octet-stream"
	case strings.HasPrefix(kind, "text/") && kind != "text/html": // a page names its own
		return kind + "; charset=UTF-8"
	default:
		return kind
	}
}
