// An outbox relay of Watermill's parts, and nothing else: its MySQL subscriber reads outbox_event, its router
// hands each message to its Kafka publisher. Of the subscriber's schema two queries are replaced, as its
// documentation proposes, because the table is rlab's; how it reads, locks and marks is the library's.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	_ "github.com/go-sql-driver/mysql"
)

func env(name string) string { return os.Getenv("RLAB_" + name) }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

type schema struct{ wsql.DefaultMySQLSchema }

func (schema) SchemaInitializingQueries(wsql.SchemaInitializingQueriesParams) ([]wsql.Query, error) {
	return nil, nil
}

func (schema) SelectQuery(params wsql.SelectQueryParams) (wsql.Query, error) {
	next, err := params.OffsetsAdapter.NextOffsetQuery(wsql.NextOffsetQueryParams{
		Topic: params.Topic, ConsumerGroup: params.ConsumerGroup})
	return wsql.Query{Query: "SELECT id, BIN_TO_UUID(event_id), payload," +
		" JSON_OBJECT('key', CONVERT(message_key USING utf8mb4), 'event-id', BIN_TO_UUID(event_id))" +
		" FROM outbox_event WHERE id > (" + next.Query + ") ORDER BY id ASC LIMIT 100", Args: next.Args}, err
}

func subscriber(logger watermill.LoggerAdapter) *wsql.Subscriber {
	db := must(sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?tls=skip-verify&parseTime=true", env("MYSQL_USER"),
		env("MYSQL_PASSWORD"), env("MYSQL_HOST"), env("MYSQL_PORT"), env("MYSQL_DATABASE"))))
	return must(wsql.NewSubscriber(wsql.BeginnerFromStdSQL(db), wsql.SubscriberConfig{
		ConsumerGroup: "relay", PollInterval: 50 * time.Millisecond, ResendInterval: 100 * time.Millisecond,
		RetryInterval: 100 * time.Millisecond, SchemaAdapter: schema{},
		OffsetsAdapter: wsql.DefaultMySQLOffsetsAdapter{}, InitializeSchema: true}, logger))
}

func publisher(logger watermill.LoggerAdapter) *kafka.Publisher {
	return must(kafka.NewPublisher(kafka.PublisherConfig{
		Brokers: strings.Split(env("BROKERS"), ","),
		Marshaler: kafka.NewWithPartitioningMarshaler(func(_ string, m *message.Message) (string, error) {
			return m.Metadata.Get("key"), nil
		}),
	}, logger))
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	logger := watermill.NewStdLogger(false, false)
	router := must(message.NewRouter(message.RouterConfig{}, logger))
	router.AddHandler("relay", "outbox", subscriber(logger), env("TOPIC"), publisher(logger),
		func(m *message.Message) ([]*message.Message, error) { return message.Messages{m}, nil })
	go func() {
		<-router.Running()
		fmt.Println(`{"say":"ready"}`)
	}()
	if err := router.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
