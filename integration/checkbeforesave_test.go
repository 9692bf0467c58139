package integration

import (
	"net/http"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
	"github.com/jupyter-drive/jupyter-drive/integration/client"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// TestColleagueSavedJustNow has two daemons on one bucket: what JupyterLab asks before it saves, and a condition, see what the other daemon has
// uploaded a moment ago, so that nobody gets a conflict copy for it.
func TestColleagueSavedJustNow(t *testing.T) {
	t.Parallel()
	server := versitygw.Run(t, versitygw.Options{})
	var drives [2]*bucketdrive.Drive
	for i := range drives {
		drives[i] = bucketdrive.New(t, bucketdrive.Options{Server: server})
	}
	const file = "plan.txt"
	api := func(i int) client.Client {
		return client.Client{URL: drives[i].Daemon.URL, Token: drives[i].Daemon.Token}
	}
	save := func(i int, text string, header ...string) int {
		t.Helper()
		a, err := api(i).Save(t.Context(), file, text, header...)
		if a.Status == 0 {
			t.Fatal(err)
		}
		return a.Status
	}
	hash := func() (m struct {
		Hash string `json:"hash"`
		Size int    `json:"size"`
	}) {
		t.Helper()
		if err := api(1).Get(t.Context(), "api/contents/"+file+"?content=0&hash=1", &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	drives[0].Start(t)
	save(0, "first")
	drives[0].Settle(t)
	drives[1].Start(t)
	first := hash()
	save(0, "of the colleague")
	drives[0].Settle(t)
	second := hash()
	if second.Hash == first.Hash || second.Size != len("of the colleague") {
		t.Errorf("before a save JupyterLab is told %+v, as at first %+v", second, first)
	}
	save(0, "of the colleague, again")
	drives[0].Settle(t)
	if got := save(1, "over the second", "If-Match", `"`+second.Hash+`"`); got != http.StatusPreconditionFailed {
		t.Errorf("a save over the version before is answered with %d", got)
	}
	second = hash()
	if got := save(1, "over the second", "If-Match", `"`+second.Hash+`"`); got != http.StatusOK {
		t.Errorf("a save over the present version is answered with %d", got)
	}
	if s := drives[1].Settle(t); len(s.Conflicts) > 0 || len(s.Errors) > 0 {
		t.Errorf("status: %+v", s)
	}
}
