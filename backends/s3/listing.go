package s3

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// maxPage is how many keys a store puts into one answer.
const maxPage = 1000

// List asks for one page. A file whose name begins the keys that follow is held back until it is known whether a directory has its name too,
// so that a page may have fewer names than the store's answer.
func (b *Backend) List(ctx context.Context, dir string, o fs.ListOptions) (fs.Page, error) {
	p, err := newPager(b, dir, o)
	if err != nil {
		return fs.Page{}, err
	}
	out, err := b.client.ListObjectsV2(ctx, p.request(b, o.Max))
	if err != nil {
		return fs.Page{}, b.fail("list", dir, err)
	}
	if err := p.take(out); err != nil {
		return fs.Page{}, b.fail("list", dir, err)
	}
	if p.nothing && dir != "" && o.Token == "" && p.page.Next == "" {
		return fs.Page{}, &fs.Error{Op: "list", Path: dir, Kind: fs.NotExist}
	}
	return p.page, nil
}

// place is where a listing goes on: a page's token.
type place struct {
	Token string `json:",omitempty"` // the store's
	Held  []held `json:",omitempty"`
}

// held is a file of an earlier page of whose name there may be a directory.
type held struct {
	Name    string
	Size    int64
	Stored  time.Time
	Version fs.Version
	Taken   bool // the name under which it would be shown then is another file's
}

// pager makes one page of answers of the store.
type pager struct {
	dir, folder string
	from        place
	nothing     bool // the answer held no key at all
	page        fs.Page
}

func newPager(b *Backend, dir string, o fs.ListOptions) (*pager, error) {
	p := &pager{dir: dir, folder: b.folder(dir)}
	if o.Token == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(o.Token), &p.from); err != nil {
		return nil, &fs.Error{Op: "list", Path: dir, Kind: fs.Invalid, Err: err}
	}
	return p, nil
}

func (p *pager) request(b *Backend, limit int) *s3.ListObjectsV2Input {
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	return &s3.ListObjectsV2Input{
		Bucket: &b.opts.Bucket, Prefix: ptr(p.folder), Delimiter: aws.String("/"), MaxKeys: aws.Int32(int32(limit)),
		ContinuationToken: ptr(p.from.Token), EncodingType: types.EncodingTypeUrl,
	}
}

// take makes the page of an answer.
func (p *pager) take(out *s3.ListObjectsV2Output) error {
	p.nothing = len(out.Contents)+len(out.CommonPrefixes) == 0
	files, last := p.files(out)
	dirs, lastDir := p.dirs(out)
	files = append(p.from.Held, files...)
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
	}
	next := place{}
	if aws.ToBool(out.IsTruncated) {
		next.Token = aws.ToString(out.NextContinuationToken)
	}
	last = max(last, lastDir)
	for _, f := range files {
		shadow := fs.ShadowName(f.Name)
		f.Taken = f.Taken || names[shadow] || dirs[shadow]
		switch {
		case dirs[f.Name]:
			p.show(shadow, f, !f.Taken)
		case next.Token != "" && last < f.Name+"/":
			next.Held = append(next.Held, f)
		default:
			p.show(f.Name, f, true)
		}
	}
	if next.Token == "" {
		return nil
	}
	token, err := json.Marshal(next)
	p.page.Next = string(token)
	return err
}

// show puts a file on the page, or counts it.
func (p *pager) show(name string, f held, free bool) {
	if !free || !visible(p.folder, name) {
		p.page.Hidden++
		return
	}
	p.page.Infos = append(p.page.Infos, fs.Info{
		Key: p.path(name), Type: fs.File, Size: f.Size, ModTime: f.Stored, Stored: f.Stored, Version: f.Version, Partial: true,
	})
}

func (p *pager) path(name string) string {
	if p.dir == "" {
		return name
	}
	return p.dir + "/" + name
}

// files returns the names of the answer's objects, and the last of them.
func (p *pager) files(out *s3.ListObjectsV2Output) (files []held, last string) {
	for _, o := range out.Contents {
		raw, ok := decodeKey(aws.ToString(o.Key), string(out.EncodingType))
		name, inside := strings.CutPrefix(raw, p.folder)
		if !ok || !inside {
			p.page.Hidden++
			continue
		}
		last = max(last, name)
		if name == "" { // the directory's own marker
			p.page.Marked = true
			continue
		}
		files = append(files, held{
			Name: name, Size: aws.ToInt64(o.Size), Stored: aws.ToTime(o.LastModified), Version: versionOf(o.ETag, o.LastModified, aws.ToInt64(o.Size)),
		})
	}
	return files, last
}

// dirs puts the answer's directories on the page and returns their names, and the last of them with its slash.
func (p *pager) dirs(out *s3.ListObjectsV2Output) (dirs map[string]bool, last string) {
	dirs = map[string]bool{}
	for _, prefix := range out.CommonPrefixes {
		raw, ok := decodeKey(aws.ToString(prefix.Prefix), string(out.EncodingType))
		name, inside := strings.CutPrefix(raw, p.folder)
		last = max(last, name)
		name = strings.TrimSuffix(name, "/")
		if !ok || !inside || !visible(p.folder, name) {
			p.page.Hidden++
			continue
		}
		dirs[name] = true
		p.page.Infos = append(p.page.Infos, fs.Info{Key: p.path(name), Type: fs.Directory, Partial: true})
	}
	return dirs, last
}
