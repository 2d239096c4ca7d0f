CREATE TABLE ticks (
  monitor INTEGER NOT NULL, 
  at INTEGER NOT NULL, 
  workspace INTEGER NOT NULL, 
  total INTEGER NOT NULL, 
  successful INTEGER NOT NULL, 
  average INTEGER, 
  low INTEGER, 
  high INTEGER, 
  consensus TEXT NOT NULL, 
  looks BLOB NOT NULL, 
  PRIMARY KEY (monitor, at)
)
 WITHOUT ROWID, STRICT;
