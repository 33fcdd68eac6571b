// A transactional producer of franz-go. go.mod pins the newer version of it, old.mod the older one.
package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"clients/line"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const callWithin = 20 * time.Second

type producer struct{ client *kgo.Client }

func open(s line.Settings) (line.Producer, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(s["bootstrap.servers"], ",")...),
		kgo.ClientID(s["client.id"]),
		kgo.TransactionalID(s["transactional.id"]),
		kgo.TransactionTimeout(s.Millis("transaction.timeout.ms", 60000)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelInfo, nil)))
	return producer{client}, err
}

func (p producer) Init() error {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	_, _, err := p.client.ProducerID(ctx)
	return err
}

func (p producer) Begin() error { return p.client.BeginTransaction() }

func (p producer) Send(topic string, partition int32, value string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	r, err := p.client.ProduceSync(ctx,
		&kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}).First()
	if err != nil {
		return 0, err
	}
	return r.Offset, nil
}

func (p producer) End(commit bool, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return p.client.EndTransaction(ctx, kgo.TransactionEndTry(commit))
}

func (p producer) Close() { p.client.Close() }

func code(err error) int {
	var known *kerr.Error
	if errors.As(err, &known) {
		return int(known.Code)
	}
	return 0
}

func main() {
	line.Serve(line.Library{Module: "github.com/twmb/franz-go", Open: open, Code: code})
}
