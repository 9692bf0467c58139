package local

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

var _ fs.Adopter = (*node)(nil)

// Adopt makes id the document's identity, in the place of the one that it may have.
func (n *node) Adopt(ctx context.Context, id fs.FileID) error {
	if err := ctx.Err(); err != nil {
		return fs.Wrap("adopt", "", err)
	}
	var st unix.Statx_t
	fd, err := n.open("adopt", unix.O_PATH, &st)
	if err != nil {
		return err
	}
	defer closeFd(fd)
	unlock := n.lockPlace()
	defer unlock()
	n.d.ids.give.Lock()
	defer n.d.ids.give.Unlock()
	if err := statFd(fd, &st); err != nil {
		return fs.Wrap("adopt", "", err)
	}
	told := n.wasTold(stampOf(&st)) || n.knownAs(stampOf(&st))
	if err := n.d.setID(fd, id, &st); err != nil {
		return fs.Wrap("adopt", "", err)
	}
	if told {
		n.d.restamp(n, &st)
	}
	return nil
}
