package drivetest

// The modes of fallocate(2).
const (
	fallocKeepSize = 0x01
	fallocPunch    = 0x02
	fallocZero     = 0x10
)
