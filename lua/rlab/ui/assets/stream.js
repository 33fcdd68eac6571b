// The events of the run that is shown, and what they add up to. EventSource asks again with the last cursor
// whenever an answer ends, so nothing is missed and nothing comes twice.

function newArm(one) {
  return {
    ...one,
    points: [],
    events: [],
    faults: [],
    checks: null,
    from: null,
    shared: false,
    ended: null,
    outcome: null,
    anomaly: null,
    shown: [],
  };
}

export function newModel() {
  return { run: null, arms: new Map(), faults: [], verdict: null, now: 0, replay: false };
}

function over(list, event) {
  const fault = list.findLast((f) => f.name === event.name && f.until === undefined);
  if (fault) fault.until = event.t;
}

const takes = {
  run(model, e) {
    Object.assign(model, newModel(), { run: e, replay: model.replay });
    for (const one of e.arms) model.arms.set(one.name, newArm(one));
  },
  mode(model, e) {
    model.replay = Boolean(e.replay);
  },
  begins(model, e, arm) {
    arm.from = e.at;
    arm.shared = Boolean(e.shared);
  },
  point(model, e, arm) {
    (arm.points[e.q - 1] ||= []).push([e.t, e.v ?? null]);
  },
  event(model, e, arm) {
    if (e.anomaly && arm && !arm.anomaly) arm.anomaly = { t: e.t, text: e.text };
    (arm ? arm.events : (model.events ||= [])).push(e);
  },
  fault(model, e, arm) {
    (arm ? arm.faults : model.faults).push({ ...e });
  },
  over(model, e, arm) {
    over(arm ? arm.faults : model.faults, e);
  },
  ends(model, e, arm) {
    if (e.anomaly && (!arm.anomaly || e.anomaly.t < arm.anomaly.t)) arm.anomaly = e.anomaly;
    Object.assign(arm, {
      ended: e.t,
      outcome: e.outcome,
      sentence: e.sentence,
      reason: e.reason,
      checks: e.checks,
      shown: e.shown || [],
    });
  },
  verdict(model, e) {
    model.verdict = e;
  },
  tick() {},
};

export function take(model, events) {
  for (const e of events) {
    const arm = e.arm === undefined ? undefined : model.arms.get(e.arm);
    const known = e.arm === undefined || arm;
    if (known && takes[e.kind]) takes[e.kind](model, e, arm);
    model.now = Math.max(model.now, e.at || 0);
  }
  return model;
}

// The second of an arm's own time that is reached.
export function reached(model, arm) {
  if (arm.from === null) return null;
  if (arm.ended !== null) return arm.ended;
  return Math.max(0, model.now - arm.from);
}

export function valueAt(points, t) {
  let value = null;
  for (const p of points || []) {
    if (p[0] > t + 1e-9) break;
    value = p[1];
  }
  return value;
}

const MISSES = 10; // answers that do not come, until the server is taken to be gone
const PAUSE = 2000;

// connect(changed, state): changed(model) after each answer; state("live" | "lost", since)
export function connect(changed, state) {
  const model = newModel();
  let heard = Date.now(),
    misses = 0,
    cursor = "";

  function hear(message) {
    const data = JSON.parse(message.data);
    cursor = message.lastEventId;
    heard = Date.now();
    misses = 0;
    state("live", heard);
    if (data.first && data.events.length > 0) Object.assign(model, newModel());
    take(model, data.events);
    changed(model, data.events.length > 0);
  }

  // It asks again by itself, soon; a server that is gone is asked now and then.
  function listen() {
    const source = new EventSource(`/events?after=${encodeURIComponent(cursor)}`);
    source.onmessage = hear;
    source.onerror = () => {
      misses += 1;
      if (misses < MISSES) return;
      source.close();
      state("lost", heard);
      setTimeout(listen, PAUSE);
    };
  }

  listen();
  return model;
}
