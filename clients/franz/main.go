// Producers and consumers of franz-go. go.mod pins the newer version of it, old.mod the older one.
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

func common(s line.Settings) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(strings.Split(s["bootstrap.servers"], ",")...),
		kgo.ClientID(s["client.id"]),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelInfo, nil))}
}

func open(s line.Settings) (line.Producer, error) {
	options := common(s)
	if s["transactional.id"] != "" {
		options = append(options,
			kgo.TransactionalID(s["transactional.id"]),
			kgo.TransactionTimeout(s.Millis("transaction.timeout.ms", 60000)),
			kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(0))
	}
	client, err := kgo.NewClient(options...)
	return producer{client}, err
}

func (p producer) Init() error {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	_, _, err := p.client.ProducerID(ctx)
	return err
}

func (p producer) Begin() error { return p.client.BeginTransaction() }

func (p producer) produce(record *kgo.Record) (int32, int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	r, err := p.client.ProduceSync(ctx, record).First()
	if err != nil {
		return 0, 0, err
	}
	return r.Partition, r.Offset, nil
}

func (p producer) Send(topic string, partition int32, value string) (int64, error) {
	_, offset, err := p.produce(&kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)})
	return offset, err
}

func (p producer) Put(topic, key, value string) (int32, int64, error) {
	return p.produce(&kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)})
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
	line.Serve(line.Library{Module: "github.com/twmb/franz-go", Open: open, Consume: consume, Code: code})
}
