package chart

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The tests build no image: these tests check what would break a build, and what the chart relies on.
func TestTheImageIsBuiltOnlyFromTheRepository(t *testing.T) {
	docker := strings.ReplaceAll(readFile(t, root+"/Dockerfile"), "\\\n", " ")
	ignore := strings.Split(readFile(t, root+"/.dockerignore"), "\n")
	if !slices.Contains(ignore, "*") {
		t.Error(".dockerignore lets everything through")
	}
	copied := []string{}
	for _, line := range regexp.MustCompile(`(?m)^COPY (.*)$`).FindAllStringSubmatch(docker, -1) {
		words := strings.Fields(line[1])
		if strings.HasPrefix(words[0], "--from=") {
			continue
		}
		for _, source := range words[:len(words)-1] {
			copied = append(copied, source)
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Error(err)
			}
			if !slices.Contains(ignore, "!"+source) {
				t.Errorf(".dockerignore keeps %s out", source)
			}
		}
	}
	for _, line := range ignore {
		if source, let := strings.CutPrefix(line, "!"); let && !slices.Contains(copied, source) {
			t.Errorf(".dockerignore lets %s through, and nothing copies it", source)
		}
	}

	// Files that the sources include at compile time.
	included := regexp.MustCompile(`include_(?:str|bytes|dir)!\((?:\s*concat!\()?\s*"((?:\.\./)+)([a-z]+)/`)
	found := 0
	err := filepath.WalkDir(root+"/src", func(path string, entry os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".rs" {
			return err
		}
		for _, match := range included.FindAllStringSubmatch(readFile(t, path), -1) {
			found++
			if !slices.Contains(copied, match[2]) {
				t.Errorf("%s takes in %s, which the image's build has not", path, match[2])
			}
		}
		return nil
	})
	if err != nil || found < 2 {
		t.Errorf("%v, %d", err, found)
	}

	// The compiler version of Cargo.toml, a tag on every base image, and the chart's user.
	rust := regexp.MustCompile(`(?m)^rust-version = "(.*)"$`).FindStringSubmatch(readFile(t, root+"/Cargo.toml"))[1]
	version := regexp.MustCompile(`(?m)^version = "(.*)"$`).FindStringSubmatch(readFile(t, root+"/Cargo.toml"))[1]
	contains(t, docker, "FROM rust:"+rust+"-bookworm AS build", "--locked", "USER 65532:65532", `image.version="`+version+`"`, `org.opencontainers.image.licenses="Apache-2.0"`)
	for _, base := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(docker, -1) {
		if !strings.Contains(base[1], ":") || strings.HasSuffix(base[1], ":latest") {
			t.Errorf("%s has no tag", base[1])
		}
	}
	deployment, _ := operator(t, render(t, with()))
	if *deployment.Spec.Template.Spec.SecurityContext.RunAsUser != 65532 {
		t.Error("the chart's user is not the image's")
	}
}

func TestTheFlattenedManifestEqualsTheChart(t *testing.T) {
	flat := parse(t, readFile(t, root+"/deploy/install.yaml"))
	all := render(t, with())
	if len(flat) != len(all)+1 || flat["Namespace/centrex"] == nil {
		t.Errorf("%d objects, the chart has %d", len(flat), len(all))
	}
	for key := range all {
		if flat[key] == nil {
			t.Errorf("install.yaml has no %s; run: make chart", key)
		}
	}
}
