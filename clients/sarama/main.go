// A transactional producer of sarama.
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

// How long an end may take is a matter of settings here: so long for each answer, and so many repeats.
func open(s line.Settings) (line.Producer, error) {
	c := sarama.NewConfig()
	c.ClientID = s["client.id"]
	c.Version = sarama.MaxVersion
	c.Net.MaxOpenRequests = 1
	if s["end.timeout.ms"] != "" {
		c.Net.ReadTimeout = s.Millis("end.timeout.ms", 0)
		c.Producer.Transaction.Retry.Max = 1
	}
	c.Producer.Idempotent = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Transaction.ID = s["transactional.id"]
	c.Producer.Transaction.Timeout = s.Millis("transaction.timeout.ms", 60000)
	return &producer{brokers: strings.Split(s["bootstrap.servers"], ","), config: c}, nil
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
	line.Serve(line.Library{Module: "github.com/IBM/sarama", Open: open, Code: code})
}
