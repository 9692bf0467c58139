package kerneltest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// Commands lists the lines that the fake kernel executes, one per line of code:
//
//	print TEXT      publishes TEXT and a line end on the stream stdout
//	spam N SIZE     publishes N stream messages of SIZE bytes
//	result TEXT     publishes an execute_result
//	error TEXT      publishes an error and answers with it
//	cwd, pid        print the working directory, the process id
//	env NAME        prints a variable of the environment
//	input PROMPT    asks on stdin and prints the answer
//	sleep           waits for an interrupt
//	exit N          ends the process with status N, without a reply
//	kill N          sends signal N to itself
//	bad-signature   publishes a message with a wrong signature
//	huge-frame      announces a frame of 2^62 bytes on iopub
//	no-idle         leaves out the idle status of this request
const Commands = "print spam result error cwd pid env input sleep exit kill bad-signature huge-frame no-idle"

// work handles the requests of the shell one after the other.
func (k *kernel) work(ctx context.Context) {
	for {
		select {
		case c := <-k.shell:
			if ctx.Err() == nil { // select may prefer a request to the end
				k.handle(ctx, c)
			}
		case <-ctx.Done():
			return
		}
	}
}

// handle answers one request of the shell, between busy and idle.
func (k *kernel) handle(ctx context.Context, c call) {
	idle := true
	k.status(c, "busy")
	switch c.header.MsgType {
	case "kernel_info_request":
		k.reply(c, "kernel_info_reply", kernelInfo())
	case "execute_request":
		idle = k.execute(ctx, c)
	default:
		k.reply(c, strings.TrimSuffix(c.header.MsgType, "_request")+"_reply", map[string]string{"status": "ok"})
	}
	if idle {
		k.status(c, "idle")
	}
}

func (k *kernel) status(c call, state string) {
	k.publish(c.message.Header, "status", map[string]string{"execution_state": state})
}

func kernelInfo() any {
	return map[string]any{
		"status": "ok", "protocol_version": "5.3", "implementation": "fake", "implementation_version": "1", "banner": "",
		"language_info": map[string]string{"name": "fake", "version": "1", "mimetype": "text/plain", "file_extension": ".txt"},
	}
}

// execute runs the lines of an execute_request and reports whether an idle status is to follow.
func (k *kernel) execute(ctx context.Context, c call) (idle bool) {
	var content struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(c.message.Content, &content); err != nil {
		content.Code = "error " + err.Error()
	}
	k.mu.Lock()
	k.executions++
	count := k.executions
	k.mu.Unlock()
	k.publish(c.message.Header, "execute_input", map[string]any{"code": content.Code, "execution_count": count})
	idle = true
	for line := range strings.Lines(content.Code) {
		line = strings.TrimSuffix(line, "\n")
		if line == "no-idle" {
			idle = false
			continue
		}
		failed := k.line(ctx, c, count, line)
		if ctx.Err() != nil {
			return false // a process that has ended says nothing more
		}
		if failed != "" {
			failure := map[string]any{"ename": "Failure", "evalue": failed, "traceback": []string{failed}}
			k.publish(c.message.Header, "error", failure)
			failure["status"], failure["execution_count"] = "error", count
			k.reply(c, "execute_reply", failure)
			return idle
		}
	}
	k.reply(c, "execute_reply", map[string]any{"status": "ok", "execution_count": count})
	return idle
}

// line executes one line and returns why it failed, or nothing.
func (k *kernel) line(ctx context.Context, c call, count int, line string) (failed string) {
	command, rest, _ := strings.Cut(line, " ")
	switch command {
	case "print":
		k.print(c, rest+"\n")
	case "spam":
		k.spam(c, rest)
	case "result":
		k.publish(c.message.Header, "execute_result", map[string]any{
			"execution_count": count, "metadata": struct{}{}, "data": map[string]string{"text/plain": rest},
		})
	case "error":
		return rest
	case "cwd":
		dir, err := os.Getwd()
		k.print(c, fmt.Sprintln(dir, err))
	case "pid":
		k.print(c, strconv.Itoa(os.Getpid())+"\n")
	case "env":
		k.print(c, os.Getenv(rest)+"\n")
	case "input":
		return k.input(ctx, c, rest)
	case "sleep":
		return k.sleep(ctx)
	case "exit", "kill":
		k.end(ctx, command, rest)
	case "bad-signature", "huge-frame":
		k.fault(c, command)
	default:
		return "unknown command " + command
	}
	return ""
}

func (k *kernel) print(c call, text string) {
	k.publish(c.message.Header, "stream", map[string]string{"name": "stdout", "text": text})
}

func (k *kernel) spam(c call, args string) {
	var n, size int
	if _, err := fmt.Sscan(args, &n, &size); err != nil {
		return
	}
	text := strings.Repeat("x", size)
	for range n {
		k.print(c, text)
	}
}

// input asks the client that sent c and prints its answer.
func (k *kernel) input(ctx context.Context, c call, prompt string) (failed string) {
	k.mu.Lock()
	asker := k.askers[c.from.Identity()]
	k.mu.Unlock()
	if asker == nil {
		return "nobody to ask"
	}
	m, err := k.session.Reply(wire.Stdin, "input_request", c.message.Header, map[string]any{"prompt": prompt, "password": false})
	if err == nil {
		err = asker.Send(k.session.Encode(m))
	}
	if err != nil {
		return err.Error()
	}
	select {
	case answer := <-k.answers:
		var content struct {
			Value string `json:"value"`
		}
		if err := json.Unmarshal(answer.Content, &content); err != nil {
			return err.Error()
		}
		k.print(c, content.Value+"\n")
		return ""
	case <-k.interrupted:
		return "interrupted"
	case <-k.interrupts:
		return "interrupted"
	case <-ctx.Done():
		return "ended"
	}
}

// sleep waits for an interrupt.
func (k *kernel) sleep(ctx context.Context) (failed string) {
	select {
	case <-k.interrupted:
	case <-k.interrupts:
	case <-ctx.Done():
	}
	return "interrupted"
}

// end ends the kernel as exit or kill say.
func (k *kernel) end(ctx context.Context, command, arg string) {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return
	}
	if command == "kill" {
		_ = syscall.Kill(os.Getpid(), syscall.Signal(n)) // if it fails, the kernel lives and the test sees it
	} else {
		k.exit <- n
	}
	<-ctx.Done()
}

// fault publishes something that no kernel should.
func (k *kernel) fault(c call, kind string) {
	if kind == "bad-signature" {
		m, err := k.session.Reply(wire.IOPub, "stream", c.message.Header, map[string]string{"name": "stdout", "text": "forged\n"})
		if err != nil {
			return
		}
		frames := k.session.Encode(m, []byte("kernel.stream"))
		frames[2] = []byte(strings.Repeat("0", 64))
		k.publishFrames(frames)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.subscribers {
		_, _ = p.raw.Write(binary.BigEndian.AppendUint64([]byte{2}, 1<<62)) // the peer hangs up; that is the point
	}
}

// control answers a request of the control channel at once.
func (k *kernel) control(c call) {
	switch c.header.MsgType {
	case "shutdown_request":
		k.reply(c, "shutdown_reply", map[string]any{"status": "ok", "restart": false})
		if !k.script.IgnoreShutdown {
			select {
			case k.exit <- 0:
			default: // it is ending already
			}
		}
	case "interrupt_request":
		select {
		case k.interrupted <- struct{}{}:
		default: // nothing to interrupt twice
		}
		k.reply(c, "interrupt_reply", struct{}{})
	case "kernel_info_request":
		if k.script.SilentControl {
			return
		}
		k.status(c, "busy")
		k.reply(c, "kernel_info_reply", kernelInfo())
		k.status(c, "idle")
	}
}
