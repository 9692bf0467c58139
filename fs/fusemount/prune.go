package fusemount

import (
	"slices"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
)

// pruner has the kernel let go of files that it does not use when it knows too many: each takes memory here too.
type pruner struct {
	m    *Server
	wake chan struct{} // holds one token when there is something to do
	quit chan struct{}
	done chan struct{}
}

// kick has it look.
func (p *pruner) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run works until stop.
func (p *pruner) run() {
	defer close(p.done)
	for {
		select {
		case <-p.quit:
			return
		case <-p.wake:
			p.prune()
		}
	}
}

func (p *pruner) stop() {
	close(p.quit)
	<-p.done
}

// pruneAtOnce is how many nodes are named in one message to the kernel.
const pruneAtOnce = 256

// prune names the nodes to the kernel that it was told of the longest time ago, a quarter of what it may know. What it uses stays.
func (p *pruner) prune() {
	for batch := range slices.Chunk(p.m.table.oldest(), pruneAtOnce) {
		select {
		case <-p.quit:
			return
		default:
		}
		if errno := p.m.root.NotifyPrune(batch); errno == syscall.ENOSYS {
			expire(batch)
		}
	}
	p.m.table.pruned()
}

// expire takes the names of files away, so that a kernel that cannot be asked for more lets go of them.
func expire(batch []*gofuse.Inode) {
	for _, in := range batch {
		if name, parent := in.Parent(); parent != nil && !in.IsDir() {
			parent.NotifyEntry(name) // an error says that it has none
		}
	}
}

// oldest returns the nodes that a reply has named the longest time ago, as many as are to go. Those that the kernel was asked for before
// count from then on: the others come first.
func (t *table) oldest() []*gofuse.Inode {
	t.mu.Lock()
	defer t.mu.Unlock()
	type aged struct {
		n  *node
		at time.Time
	}
	all := make([]aged, 0, len(t.nodes))
	for _, n := range t.nodes {
		at := n.handedOut
		if n.asked.After(at) {
			at = n.asked
		}
		all = append(all, aged{n, at})
	}
	count := t.count() - t.most + t.most/4
	slices.SortFunc(all, func(a, b aged) int { return a.at.Compare(b.at) })
	var old []*gofuse.Inode
	now := time.Now()
	for _, a := range all {
		if len(old) >= count {
			break
		}
		//nolint:staticcheck // see table.forget
		if in := a.n.EmbeddedInode(); !a.n.inUse() && !in.Forgotten() {
			a.n.asked = now
			old = append(old, in)
		}
	}
	return old
}

// inUse reports whether the node is the top, or has open handles.
func (n *node) inUse() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n == n.m.root || len(n.open) > 0
}

// next returns how many nodes there may be before the kernel is asked again: if it uses too many it is not asked for each that it is told
// of. The caller holds mu.
func (t *table) next() int { return max(t.most, t.count()+t.most/8) }

// pruned notes that the kernel was asked to let go of nodes. What it says to that comes later.
func (t *table) pruned() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin = t.next()
}
