// Package line drives transactional producers by lines on standard input, as lua/rlab/lab/foreign/client.lua
// writes them; each is answered by one line of JSON.
package line

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Producer is what a client library has to offer.
type Producer interface {
	Init() error
	Begin() error
	Send(topic string, partition int32, value string) (offset int64, err error)
	End(commit bool, within time.Duration) error
	Close()
}

// Settings are named as Java names them.
type Settings map[string]string

// Millis of a setting; without it those given.
func (s Settings) Millis(key string, without int) time.Duration {
	ms, err := strconv.Atoi(s[key])
	if err != nil {
		ms = without
	}
	return time.Duration(ms) * time.Millisecond
}

// Library is a client library: the path of its module, how a producer of it is opened, and Kafka's code in
// one of its errors (0: none).
type Library struct {
	Module string
	Open   func(Settings) (Producer, error)
	Code   func(error) int
}

const endWithin = 20 * time.Second

var out sync.Mutex

func say(answer map[string]any) {
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	out.Lock()
	defer out.Unlock()
	fmt.Println(string(text))
}

func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return strings.TrimPrefix(dep.Version, "v")
		}
	}
	return "unknown"
}

func settings(words []string) Settings {
	all := Settings{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		all[key] = value
	}
	return all
}

func within(words []string) time.Duration {
	if len(words) > 2 {
		if ms, err := strconv.Atoi(words[2]); err == nil {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return endWithin
}

func send(p Producer, words []string, answer map[string]any) error {
	if len(words) != 5 {
		return fmt.Errorf("send TOPIC PARTITION VALUE, not %q", words)
	}
	partition, err := strconv.ParseInt(words[3], 10, 32)
	if err != nil {
		return err
	}
	answer["partition"] = partition
	answer["offset"], err = p.Send(words[2], int32(partition), words[4])
	return err
}

func run(p Producer, words []string, answer map[string]any) error {
	switch words[1] {
	case "init":
		return p.Init()
	case "begin":
		return p.Begin()
	case "send":
		return send(p, words, answer)
	case "commit", "abort":
		return p.End(words[1] == "commit", within(words))
	case "close":
		p.Close()
		return nil
	}
	return fmt.Errorf("unknown: %s", words[1])
}

type server struct {
	library   Library
	producers sync.Map // by name
}

func (s *server) do(words []string, answer map[string]any) error {
	if words[1] == "open" {
		p, err := s.library.Open(settings(words[2:]))
		if err == nil {
			s.producers.Store(words[0], p)
		}
		return err
	}
	p, ok := s.producers.Load(words[0])
	if !ok {
		return fmt.Errorf("%s is not open", words[0])
	}
	return run(p.(Producer), words, answer)
}

func (s *server) answer(words []string) {
	answer := map[string]any{"to": words[0]}
	err := s.do(words, answer)
	answer["ok"] = err == nil
	if err != nil {
		answer["error"], answer["code"] = err.Error(), s.library.Code(err)
	}
	say(answer)
}

// Serve answers until standard input ends. A name's next line comes after the answer to its last one.
func Serve(library Library) {
	s := &server{library: library}
	say(map[string]any{"to": "", "ok": true, "version": version(library.Module)})
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if words := strings.Fields(in.Text()); len(words) > 1 {
			go s.answer(words)
		}
	}
}
