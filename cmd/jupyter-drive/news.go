package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// A long action of the daemon answers with lines of JSON: now and then how far it is, at the end its result or its error.

// news is how far a long action is.
type news struct {
	Drive string `json:"drive,omitempty"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// newsLine is one line of the answer; one of its fields is set.
type newsLine struct {
	Progress *news           `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *controlError   `json:"error,omitempty"`
}

// newsEvery is how often a line is sent at most.
const newsEvery = 200 * time.Millisecond

// answerWithNews makes a handler of a long action. The action ends when the asker goes away; it calls tell from one goroutine at a time.
func answerWithNews[T any](c *control, action func(ctx context.Context, query url.Values, tell func(news)) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		lines, out := json.NewEncoder(w), http.NewResponseController(w)
		send := func(line newsLine) {
			if err := errors.Join(lines.Encode(line), out.Flush()); err != nil {
				c.d.log.Debug("how far it is could not be told", "err", err)
			}
		}
		var told time.Time
		result, err := action(r.Context(), r.URL.Query(), func(n news) {
			if now := time.Now(); now.Sub(told) >= newsEvery {
				told = now
				send(newsLine{Progress: &n})
			}
		})
		var last newsLine
		if err == nil {
			last.Result, err = json.Marshal(result)
		}
		if err != nil {
			last = newsLine{Error: &controlError{exitCodeOf(err), err.Error()}}
		}
		send(last)
	}
}

// askWithNews has the daemon do something long and decodes what it has come to. tell hears how far it is.
func (e environment) askWithNews(ctx context.Context, path string, tell func(news), result any) error {
	resp, err := e.send(ctx, "POST", path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var line newsLine
		err := lines.Decode(&line)
		switch {
		case ctx.Err() != nil:
			return fail(exitInterrupted, "interrupted")
		case err != nil:
			return fail(exitOther, "the daemon's answer broke off: %v", err)
		case line.Error != nil:
			return &exitError{line.Error.Code, errors.New(line.Error.Message)}
		case line.Progress != nil:
			tell(*line.Progress)
		default:
			return json.Unmarshal(line.Result, result)
		}
	}
}
