// Producers and consumers of sarama.
package main

import (
	"errors"
	"log"
	"os"
	"strings"
	"time"

	"clients/line"

	"github.com/IBM/sarama"
)

type producer struct {
	brokers []string
	config  *sarama.Config
	sarama.SyncProducer
}

func common(s line.Settings) *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = s["client.id"]
	c.Version = sarama.MaxVersion
	return c
}

// How long an end may take is a matter of settings here: so long for each answer, and so many repeats.
func open(s line.Settings) (line.Producer, error) {
	c := common(s)
	c.Producer.Return.Successes = true
	if s["transactional.id"] != "" || s["enable.idempotence"] == "true" {
		idempotent(c, s)
	}
	p := &producer{brokers: strings.Split(s["bootstrap.servers"], ","), config: c}
	if s["transactional.id"] == "" {
		return p, p.Init()
	}
	return p, nil
}

func idempotent(c *sarama.Config, s line.Settings) {
	c.Net.MaxOpenRequests = 1
	if s["end.timeout.ms"] != "" {
		c.Net.ReadTimeout = s.Millis("end.timeout.ms", 0)
		c.Producer.Transaction.Retry.Max = 1
	}
	c.Producer.Idempotent = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	if s["transactional.id"] == "" {
		return
	}
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Transaction.ID = s["transactional.id"]
	c.Producer.Transaction.Timeout = s.Millis("transaction.timeout.ms", 60000)
}

func (p *producer) Init() (err error) {
	p.SyncProducer, err = sarama.NewSyncProducer(p.brokers, p.config)
	return err
}

func (p *producer) Begin() error { return p.BeginTxn() }

func (p *producer) Send(topic string, partition int32, value string) (int64, error) {
	_, offset, err := p.SendMessage(&sarama.ProducerMessage{
		Topic: topic, Partition: partition, Value: sarama.StringEncoder(value)})
	return offset, err
}

func (p *producer) Put(topic, key, value string) (int32, int64, error) {
	return p.SendMessage(&sarama.ProducerMessage{
		Topic: topic, Key: sarama.StringEncoder(key), Value: sarama.StringEncoder(value)})
}

func (p *producer) End(commit bool, _ time.Duration) error {
	if commit {
		return p.CommitTxn()
	}
	return p.AbortTxn()
}

func (p *producer) Close() { p.SyncProducer.Close() }

func code(err error) int {
	var known sarama.KError
	if errors.As(err, &known) {
		return int(known)
	}
	return 0
}

func main() {
	sarama.Logger = log.New(os.Stderr, "", log.LstdFlags|log.Lmicroseconds)
	line.Serve(line.Library{Module: "github.com/IBM/sarama", Open: open, Consume: consume, Code: code})
}
