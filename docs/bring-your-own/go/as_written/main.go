// The same consumer as it is often written first: an error is logged, the loop goes on, and the next commit passes the event over.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/twmb/franz-go/pkg/kgo"
)

const duplicate = 1062

type event struct {
	ID      string `json:"event_id"`
	Account int64  `json:"account_id"`
	Amount  int64  `json:"amount"`
	Version int64  `json:"version"`
}

func env(name string) string { return os.Getenv("RLAB_" + name) }

func code(err error) uint16 {
	var known *mysql.MySQLError
	if errors.As(err, &known) {
		return known.Number
	}
	return 0
}

func open() (*sql.DB, error) {
	return sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s:%s)/%s?tls=skip-verify", env("MYSQL_USER"),
		env("MYSQL_PASSWORD"), env("MYSQL_HOST"), env("MYSQL_PORT"), env("MYSQL_DATABASE")))
}

func subscribe() (*kgo.Client, error) {
	return kgo.NewClient(
		kgo.SeedBrokers(strings.Split(env("BROKERS"), ",")...),
		kgo.ClientID(env("NAME")),
		kgo.ConsumerGroup(env("GROUP")),
		kgo.ConsumeTopics(env("TOPIC")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(3*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.DisableAutoCommit())
}

// One transaction: the id that makes a repeat harmless, the read model, the effect.
func apply(ctx context.Context, db *sql.DB, e event) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO processed_event (consumer, event_id) VALUES ('go', UUID_TO_BIN(?))", e.ID)
	if code(err) == duplicate {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err = tx.Exec("INSERT INTO account_view (account_id, balance, version, entries) VALUES (?, ?, ?, 1) AS new"+
		" ON DUPLICATE KEY UPDATE balance = account_view.balance + new.balance,"+
		" version = GREATEST(account_view.version, new.version), entries = account_view.entries + 1",
		e.Account, e.Amount, e.Version); err != nil {
		return err
	}
	if _, err = tx.Exec("INSERT INTO effect_log (event_id, account_id, version, member) VALUES (UUID_TO_BIN(?), ?, ?, ?)",
		e.ID, e.Account, e.Version, env("NAME")); err != nil {
		return err
	}
	return tx.Commit()
}

func work(ctx context.Context, client *kgo.Client, db *sql.DB) error {
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			var e event
			if err := json.Unmarshal(record.Value, &e); err != nil {
				return err
			}
			if err := apply(ctx, db, e); err != nil {
				log.Printf("%s: %v", e.ID, err)
				continue
			}
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	db, err := open()
	if err != nil {
		log.Fatal(err)
	}
	client, err := subscribe()
	if err != nil {
		log.Fatal(err)
	}
	err = work(ctx, client, db)
	client.Close()
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}
