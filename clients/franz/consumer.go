package main

import (
	"context"
	"errors"
	"time"

	"clients/line"

	"github.com/twmb/franz-go/pkg/kgo"
)

type consumer struct {
	client *kgo.Client
	manual bool
	inHand []*kgo.Record
}

// What is not named keeps franz-go's own setting.
func consume(s line.Settings) (line.Consumer, error) {
	options := append(common(s),
		kgo.ConsumerGroup(s["group.id"]),
		kgo.ConsumeTopics(s["topic"]),
		kgo.SessionTimeout(s.Millis("session.timeout.ms", 45000)),
		kgo.HeartbeatInterval(s.Millis("heartbeat.interval.ms", 3000)),
		kgo.AutoCommitInterval(s.Millis("auto.commit.interval.ms", 5000)))
	manual := s["enable.auto.commit"] == "false"
	if manual {
		options[len(options)-1] = kgo.DisableAutoCommit()
	}
	if s["block.rebalance"] == "true" {
		options = append(options, kgo.BlockRebalanceOnPoll())
	}
	if s["group.instance.id"] != "" {
		options = append(options, kgo.InstanceID(s["group.instance.id"]))
	}
	switch s["auto.offset.reset"] {
	case "earliest":
		options = append(options, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	case "none":
		options = append(options, kgo.ConsumeStartOffset(kgo.NewOffset().AtCommitted()),
			kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	}
	client, err := kgo.NewClient(options...)
	return &consumer{client: client, manual: manual}, err
}

func (c *consumer) Poll(most int, within time.Duration) ([]line.Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	c.client.AllowRebalance()
	fetches := c.client.PollRecords(ctx, most)
	var list []line.Record
	for _, r := range fetches.Records() {
		list = append(list, line.Record{Partition: r.Partition, Offset: r.Offset, Value: string(r.Value)})
		if c.manual {
			c.inHand = append(c.inHand, r)
		}
	}
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return list, err
	}
	return list, nil
}

func (c *consumer) Commit(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	records := c.inHand
	c.inHand = nil
	return c.client.CommitRecords(ctx, records...)
}

func (c *consumer) Close() error {
	c.client.CloseAllowingRebalance()
	return nil
}
