CREATE TABLE control (
  one INTEGER NOT NULL, 
  standing BLOB NOT NULL, 
  epoch INTEGER NOT NULL, 
  cluster_key BLOB NOT NULL, 
  base_epoch INTEGER NOT NULL, 
  base INTEGER NOT NULL, 
  membership BLOB NOT NULL, 
  applied INTEGER NOT NULL, 
  torn INTEGER NOT NULL, 
  PRIMARY KEY (one)
)
 STRICT;
CREATE TABLE control_log (
  n INTEGER NOT NULL, 
  epoch INTEGER NOT NULL, 
  at INTEGER NOT NULL, 
  kind TEXT NOT NULL, 
  payload BLOB NOT NULL, 
  PRIMARY KEY (n)
)
 STRICT;
CREATE TABLE transport (
  source TEXT NOT NULL, 
  seq INTEGER NOT NULL, 
  monitor INTEGER NOT NULL, 
  at INTEGER NOT NULL, 
  location INTEGER NOT NULL, 
  attempt INTEGER NOT NULL, 
  taken_at INTEGER NOT NULL, 
  PRIMARY KEY (source, seq)
)
 WITHOUT ROWID,
 STRICT;
CREATE TABLE transport_ends (
  source TEXT NOT NULL, 
  upto INTEGER NOT NULL, 
  PRIMARY KEY (source)
)
 WITHOUT ROWID,
 STRICT;
