package reference

import (
	"net/http"
	"testing"
)

func TestRun(t *testing.T) {
	s := Run(t, Options{Dir: t.TempDir()})
	for _, tt := range []struct {
		query string
		want  int
	}{{"?token=" + s.Token, http.StatusOK}, {"?token=wrong", http.StatusForbidden}} {
		response, err := http.Get(s.URL + "api/status" + tt.query)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != tt.want {
			t.Errorf("GET api/status%s = %d, want %d", tt.query, response.StatusCode, tt.want)
		}
	}
}
