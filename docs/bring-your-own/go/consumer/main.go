// Applies the events of a topic to the read model, each once, whatever crashes or waits. Where everything is comes from
// RLAB_* (docs/bring-your-own.md).
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

const (
	duplicate   = 1062
	lockTimeout = 1205
	deadlock    = 1213
	pause       = 100 * time.Millisecond
)

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

// A row that is busy is no reason to go without an event: its transaction is tried again until it is through.
// What else goes wrong ends the program, and the offset stays where it is.
func until(ctx context.Context, db *sql.DB, e event) error {
	for {
		err := apply(ctx, db, e)
		if number := code(err); number != lockTimeout && number != deadlock {
			return err
		}
		log.Printf("%s: %v; again", e.ID, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
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
			if err := until(ctx, db, e); err != nil {
				return err
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
