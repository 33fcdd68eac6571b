package line

import (
	"fmt"
	"strconv"
	"time"
)

// Record is one that was handed over.
type Record struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Value     string `json:"value"`
}

// Consumer is what a client library has to offer. Who polls says that he is done with what he has got before,
// as far as the library takes that for a sign.
type Consumer interface {
	// Poll returns the records that come first, at most so many; none when none came within that time.
	Poll(most int, within time.Duration) ([]Record, error)
	// Commit passes all that was handed over since the last commit, by the library's call for a batch.
	Commit(within time.Duration) error
	// Close is a polite end.
	Close() error
}

func poll(c Consumer, words []string, answer map[string]any) error {
	if len(words) != 4 {
		return fmt.Errorf("poll MOST MS, not %q", words)
	}
	most, err := strconv.Atoi(words[2])
	if err != nil {
		return err
	}
	ms, err := strconv.Atoi(words[3])
	if err != nil {
		return err
	}
	records, err := c.Poll(most, time.Duration(ms)*time.Millisecond)
	if len(records) > 0 {
		answer["records"] = records
	}
	return err
}

func consume(c Consumer, words []string, answer map[string]any) error {
	switch words[1] {
	case "poll":
		return poll(c, words, answer)
	case "commit":
		return c.Commit(within(words))
	case "close":
		return c.Close()
	}
	return fmt.Errorf("unknown: %s", words[1])
}
