package programs

// script is what is run in an empty folder. What it prints and leaves must be the same everywhere; again is run later, by a daemon that knows
// only the bucket: of a file that was not opened yet it does not know mode and times, nor whether it is a link. $PYTHON is an interpreter with the packages of the tests, $WHEEL a wheel of 200 modules.
type script struct {
	name, needs, run, again string
}

var scripts = []script{
	{"git", "git", `
export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
git init -q -b main one; cd one
for i in $(seq 40); do mkdir -p d$((i % 5)); seq $i 500 > d$((i % 5))/f$i; done
git add .; git commit -qm first
for i in 1 2 3; do seq $i > d1/f1; git commit -qam "change $i"; done
git gc -q --prune=now; git fsck --strict; cd ..
git clone -q one two; cd two; seq 9 > d2/f2; git commit -qam "in the clone"; git fsck --strict; git status --porcelain; git rev-parse HEAD`,
		`cd one && git fsck --strict && git status --porcelain && git rev-parse HEAD && cd ../two && git fsck --strict && git log --oneline | wc -l`},
	{"pip", "$PYTHON", `
"$PYTHON" -m pip install -q --disable-pip-version-check --no-index --no-deps --no-compile --target site "$WHEEL"
PYTHONPATH=site "$PYTHON" -B -c 'import many; print(many.total())'; ls site/many | wc -l`,
		`PYTHONPATH=site "$PYTHON" -B -c 'import many; print(many.total())'`},
	{"sqlite", "$PYTHON", `
cat > w.py <<'END'
import sqlite3, sys
db = sqlite3.connect("db-" + sys.argv[2], timeout=300)
if sys.argv[1] == "init":
    print(db.execute("pragma journal_mode=" + sys.argv[2]).fetchone()[0])
    db.execute("create table t (w, i)"); db.commit()
elif sys.argv[1] == "count":
    print(db.execute("select count(*), count(distinct w || ',' || i) from t").fetchone(), db.execute("pragma integrity_check").fetchone())
else:
    for i in range(60):
        db.execute("insert into t values (?, ?)", (sys.argv[1], i)); db.commit()
END
for mode in delete wal; do
  "$PYTHON" w.py init $mode
  "$PYTHON" w.py 1 $mode & "$PYTHON" w.py 2 $mode & "$PYTHON" w.py 3 $mode & wait
  "$PYTHON" w.py count $mode
done
mkdir -p .git; mv db-* .git`, // the rows' order differs: see leftOut
		`cd .git && "$PYTHON" ../w.py count delete && "$PYTHON" ../w.py count wal`},
	{"data", "$PYTHON", `
cat > data.py <<'END'
import hashlib, os, sys
import h5py, numpy as np, pandas as pd, zarr
def show(*values):
    print(*values)
if len(sys.argv) > 1:
    frame = pd.DataFrame({"i": np.arange(20000), "x": np.sin(np.arange(20000)), "s": [f"row {i}" for i in range(20000)]})
    frame.to_csv("t.csv", index=False)
    with open("t.csv", "a") as f:
        frame.iloc[:10].to_csv(f, index=False, header=False)
    frame.to_parquet("t.parquet", row_group_size=3000)
    with h5py.File("t.h5", "w") as f:
        d = f.create_dataset("grid", data=np.arange(1 << 18).reshape(512, 512), chunks=(64, 64), compression="gzip")
        d[10:20] = 7
    with h5py.File("t.h5", "r+") as f:
        f["grid"][0, :5] = 9
        f.create_dataset("late", data=np.arange(100.0))
    z = zarr.open("t.zarr", mode="w", shape=(400, 400), chunks=(100, 100), dtype="i4")
    z[:] = np.arange(160000).reshape(400, 400)
    z[5:10, :] = -1
    m = np.memmap("t.dat", dtype="f8", mode="w+", shape=(300000,))
    m[:] = np.arange(300000); m.flush(); del m
    m = np.memmap("t.dat", dtype="f8", mode="r+", shape=(300000,))
    m[::1000] = -5; m[150000:150100] = 1; m.flush(); del m
show(pd.read_csv("t.csv").describe().to_string())
show(pd.read_parquet("t.parquet", columns=["x", "i"]).sum().to_string(), pd.read_parquet("t.parquet").s.iloc[12345])
with h5py.File("t.h5") as f:
    show(f["grid"][:].sum(), f["late"][:].sum(), sorted(f))
show(zarr.open("t.zarr", mode="r")[:].sum(), np.memmap("t.dat", dtype="f8", mode="r").sum())
END
"$PYTHON" data.py make`,
		`"$PYTHON" data.py`},
	{"editors", "vim", `
seq 1000 > a; sed -i 's/5/five/' a; sed -i -e '3d' -e '$a end' a; cksum < a
for copy in yes no auto; do vim -Nu NONE -n -es -c "set backupcopy=$copy writebackup" -c '%s/7/seven/' -c 'normal Goadded' -c wq a; cksum < a; done
vim -Nu NONE -es -c 'set backup' -c '1d' -c wq a; ls -A; chmod 640 a; vim -Nu NONE -n -es -c '1d' -c wq a; stat -c %a a`,
		`cksum < a; ls -A`},
	{"rsync", "rsync", `
mkdir src; for i in $(seq 60); do seq $i 2000 > src/$i; done; ln -s 7 src/link; touch -d 2001-02-03 src/9
rsync -a src/ dst/; seq 7 > src/7; rm src/8; rsync -a --delete --checksum src/ dst/; rsync -a --inplace --append-verify src/ dst/
rsync -ani src/ dst/; diff -r src dst && echo same; stat -c '%n %y' dst/9`,
		`diff -r src dst && rsync -rlcni src/ dst/ && readlink dst/link && echo same`},
	{"tar", "tar", `
mkdir -p t/d/e; for i in $(seq 60); do seq $i 900 > t/d/e/$i; done; ln -s d/e/1 t/link; chmod 755 t/d/e/2
tar cf a.tar --sort=name --mtime=2020-01-01 --owner=0 --group=0 t; tar czf a.tgz -C t . ; rm a.tgz; mkdir out; tar xpf a.tar -C out
tar df a.tar -C out && echo same; seq 3 > t/new; tar rf a.tar --mtime=2020-01-01 --owner=0 --group=0 t/new; tar tf a.tar | wc -l`,
		`tar tf a.tar | wc -l; cat out/t/link | cksum`},
}
