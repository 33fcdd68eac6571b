// Package line drives producers and consumers by lines on standard input, as lua/rlab/lab/foreign/client.lua
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

// Producer is what a client library has to offer; without a transactional.id it is one with the library's
// own settings, and only Put is asked of it.
type Producer interface {
	Init() error
	Begin() error
	Send(topic string, partition int32, value string) (offset int64, err error)
	Put(topic, key, value string) (partition int32, offset int64, err error)
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

// Library is a client library: the path of its module, how a producer and a consumer of it are opened, and
// Kafka's code in one of its errors (0: none).
type Library struct {
	Module  string
	Open    func(Settings) (Producer, error)
	Consume func(Settings) (Consumer, error)
	Code    func(error) int
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

func put(p Producer, words []string, answer map[string]any) (err error) {
	if len(words) != 5 {
		return fmt.Errorf("put TOPIC KEY VALUE, not %q", words)
	}
	answer["partition"], answer["offset"], err = p.Put(words[2], words[3], words[4])
	return err
}

func produce(p Producer, words []string, answer map[string]any) error {
	switch words[1] {
	case "init":
		return p.Init()
	case "begin":
		return p.Begin()
	case "send":
		return send(p, words, answer)
	case "put":
		return put(p, words, answer)
	case "commit", "abort":
		return p.End(words[1] == "commit", within(words))
	case "close":
		p.Close()
		return nil
	}
	return fmt.Errorf("unknown: %s", words[1])
}

type server struct {
	library Library
	clients sync.Map // by name
}

func (s *server) open(words []string) error {
	var client any
	var err error
	if words[1] == "consume" {
		client, err = s.library.Consume(settings(words[2:]))
	} else {
		client, err = s.library.Open(settings(words[2:]))
	}
	if err == nil {
		s.clients.Store(words[0], client)
	}
	return err
}

func (s *server) do(words []string, answer map[string]any) error {
	if words[1] == "open" || words[1] == "consume" {
		return s.open(words)
	}
	client, ok := s.clients.Load(words[0])
	if !ok {
		return fmt.Errorf("%s is not open", words[0])
	}
	if c, ok := client.(Consumer); ok {
		return consume(c, words, answer)
	}
	return produce(client.(Producer), words, answer)
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
