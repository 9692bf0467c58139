// Package fetch brings bytes of a store's objects to those who read them, and into the cache.
//
// # Nouns
//
// A [Pool] holds what all drives share: buffers and slots, the right to receive. A [Stream] is one handle's reading of one version of
// one object. A flight is one request and its retries: a range of an object, which is asked for once however many want bytes of it.
//
// # Rules
//
//   - Every request carries the version: bytes of two versions are never mixed. A version that is gone is Conflict.
//   - What is cached is not asked for. What comes is written to the cache, in whole units, and copied straight to those who wait for it, so
//     that they get on even if the cache drops it at once.
//   - A file of at most [SmallFile] is fetched with one request. In a larger one, a read at a random place fetches 128 KiB around it.
//     Reads that follow one another, or begin at 0, are a run: a window ahead of it is fetched too, from 1 MiB on, doubling to
//     [Options].Window. A handle may follow two runs.
//   - One request brings a run: it asks for all that is missing, and receives up to the window's end, which moves with the reader. When the reader
//     rests it pauses without a slot, and ends after some seconds. A reader who jumps away leaves no more behind than the window.
//   - Where a reader waits and the one request brings less than stores give one connection, ranges of up to [MaxRange] go on in parallel; where
//     these bring hardly more, as the line is the limit, one again.
//   - Requests that somebody waits for go before those made ahead. Their number falls when the store is throttling and grows again slowly.
//     After [MaxRange] bytes a request lets others have its slot.
//   - Each request has one buffer while it has a slot, which it fills and empties again and again, and there are as many buffers as
//     slots. So nobody ever waits for memory. Buffers beyond that hold what was fetched ahead and could not be cached; they are taken
//     back when a request needs them.
//   - A request that breaks goes on from the last byte it got; one that gets nothing for [Options].Stall is broken. Those who wait get the
//     error once nothing has come for [Options].Deadline.
//
// # Concurrency
//
// All methods may be called at any time. A stream's Close comes after its reads have returned.
package fetch
