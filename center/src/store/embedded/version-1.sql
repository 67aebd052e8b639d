-- An empty store of version 1, which companies may have. Only a test reads this.
CREATE TABLE enterprise (id TEXT PRIMARY KEY, display TEXT NOT NULL, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE gateway (id TEXT PRIMARY KEY, certificate BLOB NOT NULL, previous BLOB, expires INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE enrolment (secret BLOB PRIMARY KEY, gateway TEXT NOT NULL, expires INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE grp (number INTEGER PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, incarnation TEXT NOT NULL,
    list INTEGER NOT NULL, allowed TEXT NOT NULL, deleted INTEGER NOT NULL,
    floor INTEGER NOT NULL DEFAULT 0, floor_hash BLOB NOT NULL DEFAULT (zeroblob(16))) STRICT;
CREATE TABLE member (grp INTEGER NOT NULL, gateway TEXT NOT NULL, joined INTEGER NOT NULL, joined_hash BLOB NOT NULL,
    list INTEGER NOT NULL, until INTEGER, settled INTEGER NOT NULL, PRIMARY KEY (grp, gateway)) STRICT, WITHOUT ROWID;
CREATE TABLE log (grp INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, stored INTEGER NOT NULL,
    list INTEGER NOT NULL, gateway TEXT, epoch TEXT, n INTEGER, source INTEGER, size INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (grp, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE mark (grp INTEGER NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (grp, gateway, epoch)) STRICT, WITHOUT ROWID;
CREATE TABLE refusal (grp INTEGER NOT NULL, gateway TEXT NOT NULL, epoch TEXT NOT NULL, n INTEGER NOT NULL,
    condition TEXT NOT NULL, PRIMARY KEY (grp, gateway, epoch, n)) STRICT, WITHOUT ROWID;
CREATE TABLE fate (grp INTEGER NOT NULL, member TEXT NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL,
    condition TEXT NOT NULL, PRIMARY KEY (grp, member, seq)) STRICT, WITHOUT ROWID;
INSERT INTO grp VALUES (10001, 'Apollo', 'acme', 'i1', 1, 'globex initech', 0, 0, zeroblob(16));
PRAGMA application_id=1229415278;
PRAGMA user_version=1;
