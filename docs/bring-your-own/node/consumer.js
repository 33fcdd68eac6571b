'use strict';
// Applies the events of a topic to the read model, each once, whatever crashes. Where everything is comes from RLAB_* (docs/bring-your-own.md).
const { Kafka, logLevel } = require('kafkajs');
const mysql = require('mysql2/promise');

const env = (name) => process.env[`RLAB_${name}`];

const pool = mysql.createPool({ host: env('MYSQL_HOST'), port: Number(env('MYSQL_PORT')), user: env('MYSQL_USER'),
  password: env('MYSQL_PASSWORD'), database: env('MYSQL_DATABASE'), ssl: { rejectUnauthorized: false }, connectionLimit: 10 });

/** One transaction: the id that makes a repeat harmless, the read model, the effect. */
async function write(db, event) {
  await db.query('SET SESSION innodb_lock_wait_timeout = 20');
  await db.beginTransaction();
  await db.query("INSERT INTO processed_event (consumer, event_id) VALUES ('node', UUID_TO_BIN(?))", [event.event_id]);
  await db.query('INSERT INTO account_view (account_id, balance, version, entries) VALUES (?, ?, ?, 1) AS new ON DUPLICATE KEY UPDATE'
    + ' balance = account_view.balance + new.balance, version = GREATEST(account_view.version, new.version),'
    + ' entries = account_view.entries + 1', [event.account_id, event.amount, event.version]);
  await db.query('INSERT INTO effect_log (event_id, account_id, version, member) VALUES (UUID_TO_BIN(?), ?, ?, ?)',
    [event.event_id, event.account_id, event.version, env('NAME')]);
  await db.commit();
}

async function apply(event) {
  const db = await pool.getConnection();
  try {
    await write(db, event);
  } catch (failure) {
    await db.rollback();
    if (failure.code !== 'ER_DUP_ENTRY') throw failure;
  } finally {
    db.release();
  }
}

async function main() {
  const kafka = new Kafka({ clientId: env('NAME'), brokers: env('BROKERS').split(','), logLevel: logLevel.WARN });
  const consumer = kafka.consumer({ groupId: env('GROUP'), sessionTimeout: 3000, heartbeatInterval: 500 });
  process.once('SIGTERM', async () => {
    await consumer.disconnect();
    await pool.end();
  });
  consumer.on(consumer.events.GROUP_JOIN, () => console.log('{"say":"ready"}'));
  await consumer.connect();
  await consumer.subscribe({ topics: [env('TOPIC')], fromBeginning: true });
  await consumer.run({
    autoCommitInterval: 100,
    eachMessage: async ({ message }) => {
      await apply(JSON.parse(message.value.toString())); // the client commits what this promise has fulfilled
    },
  });
}

main().catch((failure) => {
  console.error(failure);
  process.exit(1);
});
