package protocol_test

import (
	"encoding/json"
	"fmt"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
	"github.com/jupyter-drive/jupyter-drive/collab/protocol"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// A client asks for what it lacks and gets it.
func ExampleHandleSync() {
	server, client := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
	server.Transact(func(tx *crdt.Tx) { must(server.Text("source").Insert(tx, 0, "hello")) })
	answer, err := protocol.HandleSync(server, protocol.SyncStep1(client), "client")
	must(err)
	_, err = protocol.HandleSync(client, answer, "server")
	must(err)
	fmt.Println(client.Text("source"))
	// Output: hello
}

// Two replicas tell each other who they are.
func ExampleAwareness() {
	here := protocol.NewAwareness(1, protocol.AwarenessOptions{})
	there := protocol.NewAwareness(2, protocol.AwarenessOptions{})
	must(here.SetLocalState(json.RawMessage(`{"user":{"name":"Ada"}}`)))
	must(there.Apply(here.Encode(here.Clients()), "peer"))
	fmt.Println(there.Clients(), string(there.State(1)))
	// Output: [1 2] {"user":{"name":"Ada"}}
}
