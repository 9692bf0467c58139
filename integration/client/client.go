// Package client speaks Jupyter's REST API and kernel WebSockets, with our server or with Jupyter's own.
//
// A Client is an address and a token. Do sends one request and reads the whole answer; StartSession starts a kernel for a
// path; Dial opens a kernel's channels, over which Request asks and waits for the reply and for idle.
//
//	c := client.Client{URL: d.URL, Token: d.Token}
//	answer, err := c.Do(ctx, "GET", "api/contents/a.txt", nil)
//	id, err := c.StartSession(ctx, "notes.ipynb", "python3")
//	kernel, err := c.Dial(ctx, id)
//	result, err := kernel.Request(ctx, "execute_request", client.Execute("print(1)"))
//
// A status of 400 and above is no error of Do: the caller looks at Answer.Status. A Client may be used by several goroutines;
// a Kernel by one. No timeouts are set: bound the context.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Client talks to one server as one user. HTTP may be nil for the default client.
type Client struct {
	URL   string // where the API begins, with a slash at the end
	Token string // empty sends none
	HTTP  *http.Client
}

// Answer is a whole response.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON decodes the body into v. An answer that is no success is an error.
func (a Answer) JSON(v any) error {
	if a.Status >= 300 {
		return fmt.Errorf("the server answered %d: %.300s", a.Status, a.Body)
	}
	return json.Unmarshal(a.Body, v)
}

// Do sends a request to path, which is taken as it is, below the server's URL. The body is nil, bytes, or a value sent as JSON;
// header holds pairs of name and value. The error is about the connection, not about the status.
func (c Client) Do(ctx context.Context, method, path string, body any, header ...string) (Answer, error) {
	raw, ok := body.([]byte)
	if !ok && body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return Answer{}, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(raw))
	if err != nil {
		return Answer{}, err
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "token "+c.Token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := c.http().Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, text}, err
}

func (c Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return http.DefaultClient
}

// Get decodes the JSON that path answers into v.
func (c Client) Get(ctx context.Context, path string, v any) error {
	answer, err := c.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return answer.JSON(v)
}

// Save puts text into the file at path, a path of the API, and fails unless the server acknowledged it.
func (c Client) Save(ctx context.Context, path, text string, header ...string) (Answer, error) {
	answer, err := c.Do(ctx, http.MethodPut, "api/contents/"+path, map[string]string{"type": "file", "format": "text", "content": text}, header...)
	if err == nil && answer.Status >= 300 {
		err = fmt.Errorf("PUT %s: the server answered %d: %.300s", path, answer.Status, answer.Body)
	}
	return answer, err
}

// StartSession starts a kernel of the named spec for the notebook at path and returns the kernel's id.
func (c Client) StartSession(ctx context.Context, path, spec string) (kernel string, err error) {
	answer, err := c.Do(ctx, http.MethodPost, "api/sessions", map[string]any{
		"path": path, "name": path, "type": "notebook", "kernel": map[string]string{"name": spec},
	})
	if err != nil {
		return "", err
	}
	var session struct {
		Kernel struct {
			ID string `json:"id"`
		} `json:"kernel"`
	}
	if err := answer.JSON(&session); err != nil {
		return "", fmt.Errorf("starting %s for %s: %w", spec, path, err)
	}
	return session.Kernel.ID, nil
}

// StopKernel ends a kernel and its session.
func (c Client) StopKernel(ctx context.Context, id string) error {
	answer, err := c.Do(ctx, http.MethodDelete, "api/kernels/"+id, nil)
	if err == nil && answer.Status != http.StatusNoContent {
		err = fmt.Errorf("ending kernel %s: the server answered %d: %.300s", id, answer.Status, answer.Body)
	}
	return err
}
