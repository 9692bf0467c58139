package kernels

import "github.com/jupyter-drive/jupyter-drive/kernels/wire"

// maxRequests is how many requests may be open on a kernel before the oldest are forgotten; their replies are then
// routed by the session in their headers.
const maxRequests = 10_000

// openRequest is a request that went to the kernel and of which not everything came back yet.
type openRequest struct {
	session string // of the client that sent it
	msgType string
	message wire.Message // without content
	replied bool         // the reply was seen
	idle    bool         // the idle status was seen
}

// requests are the open requests of a kernel, by message id.
type requests struct {
	open  map[string]openRequest
	order []string // ids in the order of their arrival, a ring once it is full; some are closed
	next  int
}

func (r *requests) add(id string, o openRequest) {
	if r.open == nil {
		r.open = map[string]openRequest{}
	}
	o.message = wire.Message{Channel: o.message.Channel, Header: o.message.Header}
	if len(r.order) < maxRequests {
		r.order = append(r.order, id)
	} else {
		delete(r.open, r.order[r.next])
		r.order[r.next] = id
		r.next = (r.next + 1) % maxRequests
	}
	r.open[id] = o
}

func (r *requests) get(id string) (openRequest, bool) {
	o, ok := r.open[id]
	return o, ok
}

// finish records that the reply to a request, or its idle status, was seen. With both it is closed.
func (r *requests) finish(id string, reply bool) {
	o, ok := r.open[id]
	if !ok {
		return
	}
	if reply {
		o.replied = true
	} else {
		o.idle = true
	}
	if o.replied && o.idle {
		delete(r.open, id)
		return
	}
	r.open[id] = o
}

// takeAll closes all requests and returns those that were open, oldest first.
func (r *requests) takeAll() []openRequest {
	var all []openRequest
	for i := range r.order {
		id := r.order[(r.next+i)%len(r.order)]
		if o, ok := r.open[id]; ok {
			all = append(all, o)
			delete(r.open, id)
		}
	}
	*r = requests{}
	return all
}
