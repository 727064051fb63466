package browsertest

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/uuid"

	"github.com/pulpgo/pulpcore/models"
	"github.com/pulpgo/pulpcore/tasking"
	"github.com/pulpgo/pulpcore/tasking/group"
)

// screenshotEnv names a file that the picture of the page is written to.
const screenshotEnv = "PULP_TEST_SCREENSHOT"

func TestTaskPageEmbedded(t *testing.T) {
	chromium(t)
	testTaskPage(t, serve(t))
}

func TestTaskPageOnPostgres(t *testing.T) {
	chromium(t)
	testTaskPage(t, serve(t, onPostgres(t)...))
}

// scene is what the page shows.
type scene struct{ running, blocked, last uuid.UUID }

// prepare makes a server do a bit of everything.
func (s *server) prepare() scene {
	s.t.Helper()
	group, err := s.app.Queue().NewGroup(s.t.Context(), "Import of exports-2026-11.tar",
		group.Report{Message: "Importing repositories", Code: "import", Total: 6, Suffix: "repositories"})
	must(s.t, err)
	in := &tasking.DispatchOptions{Group: group}
	s.wait(s.dispatch(publishing, stepArgs{Name: "ends"}))
	s.wait(s.dispatch(syncing, stepArgs{Name: "fails"}))
	for range 2 {
		s.wait(s.dispatch(importing, stepArgs{Name: "ends"}, in))
		must(s.t, group.Progress("import").Add(s.t.Context(), 1))
	}
	repo, remote := models.CorePRN("repository", models.NewID()), models.CorePRN("remote", models.NewID())
	sc := scene{running: s.dispatch(syncing, stepArgs{
		Name: "sync", Total: 240, Exclusive: []string{repo}, Shared: []string{remote},
	})}
	s.report("sync", 60)
	s.dispatch(syncing, stepArgs{Name: "second sync", Shared: []string{remote}})
	s.report("second sync", 17)
	s.dispatch(importing, stepArgs{Name: "import", Total: 900, Exclusive: []string{"import-worker-0"}}, in)
	s.report("import", 731)
	sc.blocked = s.dispatch(publishing, stepArgs{Name: "ends", Shared: []string{repo}})
	late := s.dispatch(publishing, stepArgs{Name: "ends", Shared: []string{repo}})
	_, err = s.app.Queue().Cancel(s.t.Context(), late)
	must(s.t, err)
	sc.last = s.dispatch(syncing, stepArgs{Name: "ends", Exclusive: []string{repo, remote}})
	s.dispatch(importing, stepArgs{Name: "ends", Exclusive: []string{"import-worker-0"}}, in)
	s.dispatch(publishing, stepArgs{Name: "ends"}) // for whom there is no worker
	return sc
}

func testTaskPage(t *testing.T, s *server) {
	sc := s.prepare()
	b := open(t)
	b.dark(false)
	task := func(id uuid.UUID) string { return fmt.Sprintf(`document.getElementById("t-%s")`, id) }
	bar := task(sc.running) + `?.querySelector(".report.running progress")`

	b.do("the page", chromedp.Navigate(s.base+"/tasks/"), chromedp.WaitVisible(chromedp.CSS("main")))
	b.until("the stream of events", `document.getElementById("live").dataset.state === "on"`)
	b.until("the bar", bar+`?.max === 240 && `+bar+`?.value === 60`)
	if n := b.prompts.Load(); n != 1 {
		t.Errorf("the browser asked %d times for a password, want once", n)
	}
	// A mark that a reload would lose shows that there is none.
	value(b, "a mark", chromedp.Evaluate[string](`window.mark = "here"`))
	s.report("sync", 180)
	b.until("progress without a reload", bar+`?.value === 180 && window.mark === "here"`)
	b.until("its numbers", task(sc.running)+`.innerText.includes("180 / 240")`)
	late := s.dispatch(publishing, stepArgs{Name: "ends", Exclusive: []string{"another"}})
	b.until("a new task without a reload", task(late)+` !== null && window.mark === "here"`)

	for blocked, by := range map[uuid.UUID]uuid.UUID{sc.blocked: sc.running, sc.last: sc.blocked} {
		b.until("who waits for whom", fmt.Sprintf(`%s.querySelector(".waits a.blocker[href='#t-%s']") !== null`,
			task(blocked), by))
	}
	picture(t, b, bar)

	cancel := func(id uuid.UUID) {
		b.do("cancel", chromedp.Click(chromedp.CSS(fmt.Sprintf(`[id="t-%s"] button`, id))))
		b.until("canceled", fmt.Sprintf(`[...document.querySelectorAll("#finished ~ .card tr")].some(
			(r) => r.innerText.includes("canceled") && r.querySelector("a[title='%s']"))`, id))
		if task, err := s.app.Queue().Get(t.Context(), id); err != nil || task.State != models.Canceled {
			t.Errorf("the task is %v, %v, want it canceled", task, err)
		}
	}
	cancel(sc.last)
	cancel(sc.running)
	b.until("that the blocked one has run", task(sc.blocked)+` === null`)
	if n := value(b, "escaping", chromedp.Evaluate[int](`document.querySelectorAll(".reason b").length`)); n > 0 {
		t.Error("the page shows an error's text as HTML")
	}
}

type rect struct{ X, Y, Width, Height float64 }

// picture takes a screenshot in both schemes and looks at it.
func picture(t *testing.T, b *browser, bar string) {
	t.Helper()
	for _, dark := range []bool{true, false} {
		b.dark(dark)
		// The bar's own end is animated; wait until it stands.
		b.until("the bar to stand", bar+`?.getAnimations({subtree: true}).every((a) => a.playState !== "running")`)
		box := value(b, "the bar's place", chromedp.Evaluate[rect](`(() => { const r = `+bar+`.getBoundingClientRect();
			return {X: r.x, Y: r.y, Width: r.width, Height: r.height}; })()`))
		raw := value(b, "screenshot", chromedp.CaptureScreenshot())
		img, err := png.Decode(bytes.NewReader(raw))
		must(t, err)
		keep(t, img, dark)
		if size := img.Bounds().Size(); size != image.Pt(1280, 1150) {
			t.Errorf("the screenshot has %v, want 1280×1150", size)
		}
		if n := colours(img); n < 100 {
			t.Errorf("the screenshot has %d colours", n)
		}
		at := func(part float64) color.Color { return img.At(int(box.X+box.Width*part), int(box.Y+box.Height/2)) }
		blue, track := color.RGBA{0x26, 0x67, 0xe0, 255}, color.RGBA{0xe6, 0xeb, 0xf2, 255}
		if dark {
			blue, track = color.RGBA{0x5b, 0x94, 0xff, 255}, color.RGBA{0x2a, 0x33, 0x40, 255}
		}
		for part, want := range map[float64]color.RGBA{0.1: blue, 0.7: blue, 0.8: track, 0.95: track} {
			if got := at(part); !near(got, want) {
				t.Errorf("dark %t: the bar at %.2f is %v, want %v", dark, part, got, want)
			}
		}
	}
}

// keep writes the picture where the environment says, smaller than the browser does.
func keep(t *testing.T, img image.Image, dark bool) {
	t.Helper()
	name := os.Getenv(screenshotEnv)
	if name == "" {
		return
	}
	if dark {
		name = strings.TrimSuffix(name, filepath.Ext(name)) + "-dark" + filepath.Ext(name)
	}
	var out bytes.Buffer
	must(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, img))
	must(t, os.WriteFile(name, out.Bytes(), 0o600))
}

func colours(img image.Image) int {
	seen := map[color.Color]bool{}
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 2 {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 2 {
			seen[img.At(x, y)] = true
		}
	}
	return len(seen)
}

// near allows for what a colour profile does.
func near(c color.Color, want color.RGBA) bool {
	got, ok := color.RGBAModel.Convert(c).(color.RGBA)
	diff := func(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }
	return ok && diff(got.R, want.R) < 12 && diff(got.G, want.G) < 12 && diff(got.B, want.B) < 12
}
