package fusemount

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// programs are scripts that must do the same, and leave the same files, on a drive over an object store and on a disk. Each begins in an
// empty directory; what it prints is compared too.
var programs = []struct {
	name, needs, script string
}{
	{"git", "git", `
export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
git init -q -b main one; cd one
for i in $(seq 40); do mkdir -p d$((i % 5)); seq $i 500 > d$((i % 5))/f$i; done
git add .; git commit -qm first
for i in 1 2 3; do seq $i > d1/f1; git commit -qam "change $i"; done
git checkout -q -b side HEAD~2; echo side > side; git add side; git commit -qm side
git checkout -q main; git merge -q --no-edit side; git gc -q --prune=now; git fsck --strict
git status --porcelain; git log --oneline | wc -l; git rev-parse HEAD
cd ..; git clone -q one two; git -C two fsck; git -C two rev-parse HEAD
rm -rf one/.git two/.git`},
	{"sed, sort, cp, mv, tar", "tar", `
seq 1000 > a; sed -i 's/5/five/' a; sort -r a -o a; cp -p a b; mkdir d; mv b d/; ln -s ../a d/link
cp -r d e; tar cf t.tar d e; mkdir out; tar xf t.tar -C out; cat out/d/link out/e/b | cksum; rm -r e; chmod 600 a; stat -c %a a out/d/b
touch -d 2001-02-03 a; stat -c %y a; rm t.tar; truncate -s 100000 a; printf x | dd of=a bs=1 seek=50000 conv=notrunc 2>/dev/null`},
	{"rsync", "rsync", `
mkdir src; for i in $(seq 50); do seq $i 2000 > src/$i; done; rsync -a src/ dst/; seq 7 > src/7; rm src/8
rsync -a --delete --checksum src/ dst/; diff -r src dst && echo same`},
	{"sqlite, three writers", "python3", `
cat > w.py <<'END'
import sqlite3, sys
db = sqlite3.connect("db", timeout=120)
if sys.argv[1] == "init":
    print(db.execute("pragma journal_mode=" + sys.argv[2]).fetchone()[0])
    db.execute("create table t (w, i)"); db.commit()
elif sys.argv[1] == "count":
    print(db.execute("select count(*), count(distinct w || ',' || i) from t").fetchone(), db.execute("pragma integrity_check").fetchone())
else:
    for i in range(20):
        db.execute("insert into t values (?, ?)", (sys.argv[1], i)); db.commit()
END
for mode in delete wal; do
  rm -f db db-*; python3 w.py init $mode
  python3 w.py 1 & python3 w.py 2 & python3 w.py 3 & wait
  python3 w.py count
done
rm -f db db-* w.py`},
	{"mmap", "python3", `
python3 - <<'END'
import mmap, os
with open("m", "wb") as f: f.truncate(1 << 20)
with open("m", "r+b") as f:
    m = mmap.mmap(f.fileno(), 0)
    for i in range(0, 1 << 20, 4096): m[i:i+4] = i.to_bytes(4, "little")
    m.flush(); m[5:9] = b"late"; m.close()
with open("m", "rb") as f: print(sum(f.read()))
os.rename("m", "n")
END`},
	{"saves of editors", "sh", `
echo one > f; for i in 1 2 3; do : > 4913; rm 4913; mv f f~; echo "save $i" > f; sync f; rm f~; done; cat f
for i in 1 2 3; do echo "atomic $i" > .f.tmp; sync .f.tmp; mv .f.tmp f; done; cat f
for i in 1 2 3; do cp -p f .~f; echo "in place $i" > f; sync f; rm .~f; done; cat f; ls -A`},
	{"append and tail", "sh", `
for i in $(seq 50); do echo line $i >> log; done; wc -l < log; tail -n 1 log; exec 3>>log; echo three >&3; wc -l < log; rm log; echo gone >&3; exec 3>&-; ls`},
}

// TestStorePrograms runs programs on a drive over an object store and on a disk.
func TestStorePrograms(t *testing.T) {
	d := storeDrive(t, drive.Options{})
	f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{d}}})
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			if _, err := exec.LookPath(p.needs); err != nil {
				t.Skipf("%s is not installed", p.needs)
			}
			here, there := filepath.Join(f.dir, p.name), filepath.Join(t.TempDir(), p.name)
			got, want := runIn(t, here, p.script), runIn(t, there, p.script)
			if got != want {
				t.Errorf("on the drive:\n%s\non a disk:\n%s", got, want)
			}
		})
	}
	if err := d.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if st := d.Status(); st.Pending > 0 || len(st.Conflicts) > 0 || len(st.Troubles) > 0 {
		t.Errorf("Status() = %+v", st)
	}
}

// runIn runs a script in a new directory and returns what it prints, and all files that are there afterwards.
func runIn(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `mkdir "$DIR" && cd "$DIR" && { `+script+`
}
cd "$DIR"; find . ! -type d -printf '%P %y %s %m %l\n' | sort; find . -type f ! -name '*.pyc' -exec cksum {} + | sort`)
	cmd.Env = append(os.Environ(), "DIR="+dir, "LC_ALL=C", "TZ=UTC", "HOME=/nonexistent")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in %s: %v", dir, err)
	}
	return strings.ReplaceAll(string(out), dir, "DIR")
}
