package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"clients/line"

	"github.com/IBM/sarama"
)

// A record that waits in its claim's loop until it is done with.
type held struct {
	message *sarama.ConsumerMessage
	session sarama.ConsumerGroupSession
	done    chan bool // whether to mark it
}

// A handler as sarama's examples have it: a loop for each partition, a record at a time, marked when it is
// done. That time is what the line protocol decides.
type consumer struct {
	group  sarama.ConsumerGroup
	manual bool
	come   chan held
	inHand []held
	mutex  sync.Mutex
	failed error
	cancel context.CancelFunc
	ended  chan struct{}
}

func (c *consumer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (c *consumer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *consumer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		h := held{message, session, make(chan bool, 1)}
		select {
		case c.come <- h:
		case <-session.Context().Done():
			return nil
		}
		if <-h.done {
			session.MarkMessage(message, "")
		}
	}
	return nil
}

// What is not named keeps sarama's own setting.
func consume(s line.Settings) (line.Consumer, error) {
	config := common(s)
	config.Consumer.Return.Errors = true
	config.Consumer.Group.Session.Timeout = s.Millis("session.timeout.ms", 10000)
	config.Consumer.Group.Heartbeat.Interval = s.Millis("heartbeat.interval.ms", 3000)
	config.Consumer.Offsets.AutoCommit.Interval = s.Millis("auto.commit.interval.ms", 1000)
	config.Consumer.Offsets.AutoCommit.Enable = s["enable.auto.commit"] != "false"
	config.Consumer.Group.InstanceId = s["group.instance.id"]
	switch s["auto.offset.reset"] {
	case "earliest":
		config.Consumer.Offsets.Initial = sarama.OffsetOldest
	case "none":
		config.Consumer.Group.ResetInvalidOffsets = false
	}
	group, err := sarama.NewConsumerGroup(strings.Split(s["bootstrap.servers"], ","), s["group.id"], config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumer{group: group, manual: s["enable.auto.commit"] == "false", come: make(chan held),
		cancel: cancel, ended: make(chan struct{})}
	go c.watch()
	go c.run(ctx, s["topic"])
	return c, nil
}

func (c *consumer) fail(err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.failed = err
}

func (c *consumer) failure() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	err := c.failed
	c.failed = nil
	return err
}

func (c *consumer) watch() {
	for err := range c.group.Errors() {
		c.fail(err)
	}
}

// Consume ends with each generation. An error of it is told; where a name or a place is gone that is the end,
// as it is in sarama's examples.
func (c *consumer) run(ctx context.Context, topic string) {
	defer close(c.ended)
	for ctx.Err() == nil {
		if err := c.group.Consume(ctx, []string{topic}, c); err != nil {
			c.fail(err)
			if errors.Is(err, sarama.ErrFencedInstancedId) || errors.Is(err, sarama.ErrOffsetOutOfRange) {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (c *consumer) release(mark bool) {
	for _, h := range c.inHand {
		h.done <- mark
	}
	c.inHand = nil
}

func (c *consumer) Poll(most int, within time.Duration) ([]line.Record, error) {
	if !c.manual {
		c.release(true)
	}
	var list []line.Record
	deadline := time.After(within)
	for len(list) < most {
		select {
		case h := <-c.come:
			c.inHand = append(c.inHand, h)
			m := h.message
			list = append(list, line.Record{Partition: m.Partition, Offset: m.Offset, Value: string(m.Value)})
			deadline = time.After(50 * time.Millisecond)
		case <-deadline:
			return list, c.failure()
		}
	}
	return list, c.failure()
}

func (c *consumer) Commit(time.Duration) error {
	if len(c.inHand) == 0 {
		return nil
	}
	session := c.inHand[0].session
	for _, h := range c.inHand {
		h.session.MarkMessage(h.message, "")
	}
	session.Commit()
	c.release(false)
	return c.failure()
}

// The records in hand are not done with.
func (c *consumer) Close() error {
	c.release(false)
	c.cancel()
	<-c.ended
	return c.group.Close()
}
