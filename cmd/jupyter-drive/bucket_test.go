package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/fs/fusemount"
)

func TestBucketURL(t *testing.T) {
	for url, want := range map[string][2]string{
		"s3://bucket": {"bucket", ""}, "s3://bucket/": {"bucket", ""}, "s3://bucket/a/b": {"bucket", "a/b"}, "s3://bucket/a/b/": {"bucket", "a/b"},
	} {
		bucket, prefix := driveConfig{URL: url}.bucket()
		if got := [2]string{bucket, prefix}; got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

// TestBucketTableRoundTrip writes a table with every key, as `drive add` does, and reads it again.
func TestBucketTableRoundTrip(t *testing.T) {
	local := []string{"*.tmp", "a b"}
	for _, want := range []driveConfig{
		{URL: "s3://b"},
		{URL: "s3://b/p", ID: strings.Repeat("ab", 16), Mode: "read-only", bucketConfig: bucketConfig{
			Region: "eu-west-1", Endpoint: "https://x.example", PathStyle: true, Profile: "lab", RequesterPays: true,
			Close: drive.CloseUpload, NoTrash: true, Local: &local,
		}},
		{URL: "s3://b", bucketConfig: bucketConfig{Anonymous: true, Local: &[]string{}}},
	} {
		c, err := loadConfig(environment{home: "/home/ada"}, writeConfig(t, appendLines("version = 1\n", "[drives.data]", want.pairs()...)))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Drives["data"]; !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, want %+v", got, want)
		}
	}
}

func TestBucketID(t *testing.T) {
	a := driveConfig{URL: "s3://b/p"}
	b := driveConfig{URL: "s3://b/p/"}
	c := driveConfig{URL: "s3://b/p", bucketConfig: bucketConfig{Endpoint: "http://x"}}
	idA, _ := a.bucketID()
	idB, _ := b.bucketID()
	idC, _ := c.bucketID()
	if idA != idB || idA == idC || idA == (fs.DriveID{}) {
		t.Errorf("ids %v %v %v", idA, idB, idC)
	}
	a.ID = strings.Repeat("0f", 16)
	if id, err := a.bucketID(); err != nil || id.String() != a.ID {
		t.Errorf("bucketID() = %v, %v", id, err)
	}
}

func TestLocalPatterns(t *testing.T) {
	if got := (driveConfig{}).localPatterns(); !reflect.DeepEqual(got, defaultLocal()) {
		t.Errorf("not set: %q", got)
	}
	if got := (driveConfig{bucketConfig: bucketConfig{Local: &[]string{}}}).localPatterns(); len(got) != 0 {
		t.Errorf("empty: %q", got)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "1": 1, "20GB": 20e9, "512MiB": 512 << 20, "1.5 GiB": 3 << 29, "7 B": 7, "2TB": 2e12,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"x", "-1GB", "0", "GB", "1 XB", "1e30TB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d", text, got)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 state folders", 1: "1 state folder", 2: "2 state folders", 11: "11 state folders"} {
		if got := count(n, "state folder"); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}

// TestNumbersOfThings prints each number of a status and of a fsck once as one and once as two.
func TestNumbersOfThings(t *testing.T) {
	storeOf := func(n int) storeStatus {
		return storeStatus{Pending: n, Bytes: 4, Oldest: time.Now(), Uploading: 1, LocalOnly: n, Hidden: int64(n),
			Errors: make([]storeTrouble, n), Conflicts: slices.Repeat([]storeConflict{{Copy: "x", Partial: true}}, n)}
	}
	for n, want := range map[int][]string{
		1: {"1 change to upload (4 B)", "   1 local file   1 error   1 conflict   1 partial file   1 hidden key\n", "CACHE 0 B of 0 B, 1 file\n",
			"data  1 file, 1 folder;", "; 1 change to upload\n"},
		2: {"2 changes to upload (4 B)", "   2 local files   2 errors   2 conflicts   2 partial files   2 hidden keys\n", "CACHE 0 B of 0 B, 2 files\n",
			"data  2 files, 2 folders;", "; 2 changes to upload\n"},
	} {
		var out output
		a, store := &app{stdout: &out}, storeOf(n)
		a.writeStores(status{Drives: []driveStatus{{Name: "data", Store: &store}}, Cache: &cacheStatus{Files: n}})
		findings := slices.Repeat([]string{"x"}, n)
		err := a.writeFsck([]fsckResult{{Drive: "data", Files: n, Dirs: n, Pending: n, Findings: findings}}, false)
		if wrong := count(n, "finding"); exitCode(err) != exitUnhealthy || err.Error() != wrong {
			t.Errorf("fsck ends with %v, want %q", err, wrong)
		}
		for _, text := range want {
			if got := out.String(); !strings.Contains(got, text) {
				t.Errorf("written was %q, want %q in it", got, text)
			}
		}
	}
}

// TestConflictsSayWhatToDo has the command that a problem ends with name the copy as it is on this machine.
func TestConflictsSayWhatToDo(t *testing.T) {
	const set = "setfattr -x user.jupyter-drive.conflict "
	file := drive.Conflict{Path: "d/a b.txt", Copy: "d/a b (conflict ada's 1).txt"}
	part, folder := file, drive.Conflict{Path: "d/old"}
	part.Lost = 5e6
	mounted := &fusemount.Server{}
	for _, tt := range []struct {
		name  string
		mount *fusemount.Server
		root  string
		x     drive.Conflict
		want  problem // its text is how it ends
	}{
		{"both changed", mounted, "", file, problem{"conflict-data", `. Remove the copy, or run: ` + set + `'/m/data/d/a b (conflict ada'\''s 1).txt'`, "low"}},
		{"bytes are gone", mounted, "", part, problem{"partial-data", `5.0 MB. Remove the copy, or run: ` + set + `'/m/data/d/a b (conflict ada'\''s 1).txt'`, "high"}},
		{"a folder", mounted, "", folder, problem{"conflict-data", `. Remove the folder again, or run: ` + set + `'/m/data/d/old'`, "low"}},
		{"the one drive", mounted, "data", folder, problem{"conflict-data", `, or run: ` + set + `'/m/d/old'`, "low"}},
		{"another is the one drive", mounted, "home", folder, problem{"conflict-data", `, or run where it is mounted: ` + set + `'data/d/old'`, "low"}},
		{"not mounted", nil, "", folder, problem{"conflict-data", `, or run where it is mounted: ` + set + `'data/d/old'`, "low"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &daemon{mountpoint: "/m", mount: tt.mount, opts: runOptions{root: tt.root}}
			got := d.conflictProblem("data", tt.x)
			if got.Code != tt.want.Code || got.Severity != tt.want.Severity || !strings.HasSuffix(got.Text, tt.want.Text) {
				t.Errorf("told %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestStepError tells of a step that failed what is not told beside it.
func TestStepError(t *testing.T) {
	refused := errors.New("AccessDenied")
	for _, tt := range []struct {
		step string
		err  error
		want string
	}{
		{"list", &fs.Error{Op: "list", Kind: fs.Permission, Err: refused, Hint: "ask"}, "AccessDenied"},
		{"read", &fs.Error{Op: "read", Path: "check/1", Kind: fs.Checksum}, "damaged data"},
		{"write", &fs.Error{Op: "put", Path: "check/1", Kind: fs.Permission, Err: refused}, "put check/1: AccessDenied"},
		{"configure", refused, "AccessDenied"},
	} {
		if got := failedStep(tt.step, tt.err).Error; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.step, got, tt.want)
		}
	}
}

// TestNoCheckIsOffered where adding a bucket unchecked is of use.
func TestNoCheckIsOffered(t *testing.T) {
	for _, tt := range []struct {
		step string
		kind fs.Kind
		want bool
	}{
		{"list", fs.Unavailable, true},
		{"list", fs.Credentials, true},
		{"write", fs.Permission, true},
		{"clock", fs.Invalid, true},
		{"configure", fs.Invalid, false},
		{"configure", fs.Credentials, false},
		{"list", fs.Invalid, false}, // another region
		{"read", fs.Checksum, false},
	} {
		err := refusedBy(failedStep(tt.step, &fs.Error{Kind: tt.kind}), "data", "s3://bucket")
		if got := strings.Contains(err.Error(), "--no-check"); got != tt.want || !strings.Contains(err.Error(), "drive data (s3://bucket): "+tt.step) {
			t.Errorf("%s, %v: %q offers it: %v, want %v", tt.step, tt.kind, err, got, tt.want)
		}
	}
}

func TestBucketNames(t *testing.T) {
	for name, want := range map[string]bool{
		"b": true, "bucket": true, "my.bucket-1": true, "Old_Bucket": true, strings.Repeat("a", 255): true,
		"": false, "-a": false, "a.": false, "a b": false, "a?b": false, "ü": false, strings.Repeat("a", 256): false,
	} {
		if got := bucketName.MatchString(name); got != want {
			t.Errorf("%q can be a bucket: %v", name, got)
		}
	}
}

func TestCapsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drive", "caps.json")
	if readCaps(path) != nil {
		t.Error("something is known already")
	}
	if err := writeCaps(path, fs.Caps{CondWrite: fs.Atomic, MaxKey: 7}); err != nil {
		t.Fatal(err)
	}
	if got := readCaps(path); got == nil || got.CondWrite != fs.Atomic || got.MaxKey != 7 {
		t.Errorf("readCaps() = %+v", got)
	}
	data, err := json.Marshal(keptCaps{Probed: time.Now().Add(-capsAge - time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if readCaps(path) != nil {
		t.Error("what was found out long ago is believed")
	}
}

// awayBucket is the table of a bucket that cannot be reached.
const awayBucket = "\n[drives.data]\nurl = \"s3://bucket\"\nanonymous = true\nendpoint = \"http://127.0.0.1:1\"\npath_style = true\n"

// TestStoreAwayAtStart starts a daemon whose store is away: it serves, and says so.
func TestStoreAwayAtStart(t *testing.T) {
	env := testEnv(t)
	if err := os.MkdirAll(filepath.Dir(env.configFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	text := "version = 1\n[drives.home]\nurl = \"file:" + folder + "\"\n" + awayBucket
	if err := os.WriteFile(env.configFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	link := serveInTest(t, env)
	if code := put(t, link, "home/a.txt", `{"type":"file","format":"text","content":"text"}`); code != 201 {
		t.Errorf("PUT beside it = %d", code)
	}
	s := statusOf(t, env)
	if len(s.Drives) != 2 || s.Drives[0].Store == nil || s.Drives[1].Store != nil || s.Cache == nil {
		t.Errorf("status: %+v", s)
	}
	if code, stdout, _ := call(t, env, "drive", "check", "data"); code != exitUnhealthy || !strings.Contains(stdout, "list") {
		t.Errorf("drive check = %d %s", code, stdout)
	}
	for path, want := range map[string]int{"nope/x": exitNotFound, "": exitUsage, "home/a.txt": exitUsage} {
		if code, _, stderr := call(t, env, "warm", path); code != want {
			t.Errorf("warm %s = %d %s, want %d", path, code, stderr, want)
		}
	}
	if code, _, stderr := call(t, env, "fsck", "home"); code != exitUsage || !strings.Contains(stderr, `"home" is no drive in a store`) {
		t.Errorf("fsck of a folder = %d %q, want %d", code, stderr, exitUsage)
	}
	if code, _, stderr := call(t, env, "drive", "remove", "data"); code != exitOK {
		t.Errorf("drive remove of what has nothing pending = %d %s", code, stderr)
	}
	if code, stdout, _ := call(t, env, "fsck"); code != exitOK || stdout != "No drive is in a store: there is nothing to compare.\n" {
		t.Errorf("fsck without buckets = %d %q", code, stdout)
	}
	id, err := driveConfig{URL: "s3://bucket", bucketConfig: bucketConfig{Endpoint: "http://127.0.0.1:1"}}.bucketID()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(env.driveState(id)); !os.IsNotExist(err) {
		t.Errorf("the state folder of a removed drive: %v", err)
	}
}

func statusOf(t *testing.T, env environment) status {
	t.Helper()
	code, stdout, stderr := call(t, env, "status", "--json")
	var s status
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatalf("status --json = %d %q %s: %v", code, stdout, stderr, err)
	}
	return s
}
