package subprocess

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	osexec "os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/pulpgo/pulpcore/tasking/internal/engine"
)

const (
	maxReport  = 64 << 20    // bytes that a process may say, the result among them
	maxLine    = 64 << 10    // bytes of its output that are logged as one line
	maxTail    = 4 << 10     // bytes of its output that are kept for the error
	killDelay  = time.Second // after CancelGrace, for the process to send its stacks
	lastOutput = time.Second // for what escaped the group and holds the output open
)

// Process is the process of one task. One goroutine, that of wait, decides; others read and wait for it.
type Process struct {
	cmd      *osexec.Cmd
	log      *slog.Logger
	orders   *os.File     // written
	report   *os.File     // read
	output   *os.File     // read
	messages chan Message // closed at the end of the report
	readers  sync.WaitGroup
	tail     []byte // of the output; the reader's until it has ended
}

// End is how a process ended.
type End struct {
	Result json.RawMessage
	Err    error
	Stuck  string // its stacks, if it did not stop
	Killed bool   // by its worker
	fault  string // why its report could not be used
}

// Start starts a command as the process of a task and hands it the request.
func Start(log *slog.Logger, cmd *osexec.Cmd, req Request) (*Process, error) {
	if cmd == nil {
		return nil, errors.New("worker.Options.Command returned nil")
	}
	p := &Process{cmd: cmd, log: log, messages: make(chan Message, 1)}
	theirs, err := p.connect()
	// The process has its own copies. While these are open, the end of the process is no end of its pipes.
	defer CloseAll(theirs...)
	if err == nil {
		cmd.Env = TempEnv(cmd.Environ(), req.WorkDir)
		// Programs that the task starts are killed with it.
		OwnGroup(cmd)
		err = cmd.Start()
	}
	if err != nil {
		CloseAll(p.orders, p.report, p.output)
		return nil, err
	}
	p.readers.Go(p.readReport)
	p.readers.Go(p.readOutput)
	p.send(req)
	return p, nil
}

// connect makes the pipes and returns the command's ends.
func (p *Process) connect() (theirs []*os.File, err error) {
	pipe := func(read, write **os.File) {
		if err == nil {
			*read, *write, err = os.Pipe()
		}
	}
	var orders, report, output *os.File
	pipe(&orders, &p.orders)
	pipe(&p.report, &report)
	pipe(&p.output, &output)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = orders, output, output
	p.cmd.ExtraFiles = append([]*os.File{report}, p.cmd.ExtraFiles...)
	return []*os.File{orders, report, output}, err
}

// CloseAll closes those of some files that are not nil.
func CloseAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// send writes to the process. An error is only logged: a process that has ended is noticed by Wait.
func (p *Process) send(what any) {
	line, err := json.Marshal(what)
	if err == nil {
		_, err = p.orders.Write(append(line, '\n'))
	}
	if err != nil {
		p.log.Debug("an order could not be sent to the task's process", "err", err)
	}
}

// readReport passes the reports of the process on. After a malformed or oversized one it sends a last message with the
// fault and closes the pipe, so that the process does not block on a full pipe.
func (p *Process) readReport() {
	defer close(p.messages)
	defer p.report.Close()
	limited := &io.LimitedReader{R: p.report, N: maxReport}
	d := json.NewDecoder(limited)
	for {
		var m Message
		err := d.Decode(&m)
		switch {
		case err == nil:
			p.messages <- m
			continue
		case limited.N <= 0:
			p.messages <- Message{fault: fmt.Sprintf("The task's process reported more than %d bytes.", maxReport)}
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
			return // it has closed the pipe, by its end mostly
		default:
			p.messages <- Message{fault: "The report of the task's process cannot be read."}
		}
		p.log.Warn("the report of the task's process cannot be read", "err", err)
		return
	}
}

// readOutput logs what the process writes, line by line.
func (p *Process) readOutput() {
	r := bufio.NewReaderSize(p.output, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		p.tail = append(p.tail, line...)
		p.tail = p.tail[max(0, len(p.tail)-maxTail):]
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			p.log.Info("output of the task's process", "line", string(line))
		}
		// A line that is too long is logged in parts. Without a reader the process would block on a full pipe.
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// Wait orders the process to stop when ctx is done, kills it if it does not stop, and returns when it and its group
// have ended.
func (p *Process) Wait(ctx context.Context, grace time.Duration) *End {
	exited := make(chan error, 1)
	go func() { exited <- p.cmd.Wait() }() // Wait receives it
	end := &End{}
	var said *Outcome
	timer := time.NewTimer(grace)
	timer.Stop()
	defer timer.Stop()
	messages, stop := p.messages, ctx.Done()
	for {
		select {
		case m, ok := <-messages:
			switch {
			case !ok:
				messages = nil
			case m.Stuck != "":
				// The stacks are the last report before the kill, so the rest of the grace is of no use.
				end.Stuck = m.Stuck
				timer.Reset(0)
			case m.fault != "":
				end.fault = m.fault
				_ = KillGroup(p.cmd.Process) // else it ends this moment
			case m.Outcome != nil:
				said, stop = m.Outcome, nil
				timer.Reset(grace) // for what the program does after the task
			}
		case <-stop:
			stop = nil
			p.stop(context.Cause(ctx))
			timer.Reset(stopGrace(context.Cause(ctx), grace))
		case <-timer.C:
			end.Killed = true
			_ = KillGroup(p.cmd.Process) // else it ends this moment
		case err := <-exited:
			p.close()
			// The pipe may still have messages that the process wrote before its end.
			for m := range p.messages {
				if m.Outcome != nil {
					said = m.Outcome
				}
				end.fault = cmp.Or(end.fault, m.fault)
			}
			p.readers.Wait()
			CloseAll(p.orders, p.report, p.output)
			p.judge(ctx, end, said, err)
			return end
		}
	}
}

// stopGrace is how long a process has to stop.
func stopGrace(cause error, grace time.Duration) time.Duration {
	if errors.Is(cause, engine.ErrShutdown) { // after ShutdownGrace the worker stores no end of the task
		return min(grace+killDelay, engine.ShutdownGrace/2)
	}
	return grace + killDelay
}

// stop sends the order to stop.
func (p *Process) stop(cause error) {
	p.send(OrderOf(cause))
	if errors.Is(cause, engine.ErrCanceled) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may not listen yet
	}
}

// close kills what the process left behind, which then holds no pipe open, and ends the readers in any case.
func (p *Process) close() {
	_ = KillGroup(p.cmd.Process) // the group is empty mostly
	deadline := time.Now().Add(lastOutput)
	_ = p.report.SetReadDeadline(deadline) // pipes have deadlines
	_ = p.output.SetReadDeadline(deadline)
}

// judge sets the outcome of the task.
func (p *Process) judge(ctx context.Context, end *End, said *Outcome, err error) {
	state := p.cmd.ProcessState
	signal := deathSignal(state)
	switch {
	// The outcome counts even if the process was killed afterwards: the function had returned.
	case said != nil && said.Err != nil:
		end.Err = said.Err
	case said != nil:
		end.Result = said.Result
	case end.fault != "":
		end.Err = &DeathError{end.fault, string(p.tail)}
	case signal == int(syscall.SIGTERM) && errors.Is(context.Cause(ctx), engine.ErrCanceled):
		end.Err = context.Cause(ctx) // before it could listen
	case signal != 0:
		end.Err = &DeathError{fmt.Sprintf("Killed by signal %d.", signal), string(p.tail)}
	default:
		end.Err = &DeathError{fmt.Sprintf("The task's process exited with status %d.", state.ExitCode()), string(p.tail)}
	}
	if said != nil && err != nil {
		p.log.WarnContext(ctx, "the task's process failed after the end of its task", "err", err)
	}
}

// TempEnv makes dir the place of temporary files in an environment.
func TempEnv(env []string, dir string) []string {
	return append(env, "TMPDIR="+dir, "TMP="+dir, "TEMP="+dir)
}
