BEGIN TRANSACTION;
CREATE TABLE holdbook_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT holdbook_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "holdbook_schema" VALUES('0001');
CREATE TABLE events (
	position INTEGER NOT NULL, 
	stream_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	schema_version SMALLINT NOT NULL, 
	command_id TEXT NOT NULL, 
	ordinal INTEGER NOT NULL, 
	ordinals INTEGER NOT NULL, 
	allocation_id TEXT, 
	occurred_at TEXT NOT NULL, 
	recorded_at TEXT NOT NULL, 
	actor TEXT, 
	correlation_id TEXT, 
	causation_id TEXT, 
	command TEXT, 
	data TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (position), 
	CONSTRAINT uq_events_stream_id_version UNIQUE (stream_id, version), 
	CONSTRAINT uq_events_command_id_ordinal UNIQUE (command_id, ordinal), 
	CONSTRAINT ck_events_position CHECK (position >= 1), 
	CONSTRAINT ck_events_ordinal CHECK (ordinal >= 0 AND ordinal < ordinals)
);
INSERT INTO "events" VALUES(1,'pool:gpu',1,'PoolOpened',1,'~eb59ceac7fd430a43b8320b9efe36eb839993ea2388df37d7604f82a5375f78e',0,1,NULL,'2026-11-23T12:08:43.777171Z','2026-11-23T12:08:43.777171Z','ana',NULL,NULL,'{"command":"open_pool","limits":{"overcommit":"1","reserved":0,"total":8},"pool":"gpu","resource_type":"gpu","unit":"unit"}','{"pool":"gpu","resource_type":"gpu","unit":"unit","limits":{"total":8,"reserved":0,"overcommit":"1","min_size":null,"max_size":null,"step":null,"max_allocations":null,"per_owner":null,"default_ttl":null,"max_ttl":null}}',X'2ED00A9D375396A09D09B74568C174E920CEFF99A2B31E9A437CAD212DB08480');
INSERT INTO "events" VALUES(2,'pool:gpu',2,'Allocated',1,'~3a1d3629b849f801e659d60cc11b24ca6138075a74ff85f2201c33ad3ccf6ed2',0,1,'job-1','2026-11-23T12:08:44.444837Z','2026-11-23T12:08:44.444837Z','ana',NULL,NULL,'{"allocation_id":"job-1","command":"allocate","owner":"ana","quantities":{"gpu":1},"tags":{}}','{"pool":"gpu","allocation_id":"job-1","owner":"ana","quantity":1,"pools":["gpu"],"epoch":1,"tags":{},"deadline":null}',X'777E1E0DF473161C8B4BDA05634D7DACBFFF1D9C75A414D86363DD112672E630');
INSERT INTO "events" VALUES(3,'pool:gpu',3,'Allocated',1,'~f7fddebb25fd3642b442b0cdc0d1b4de684380e63d107d999b733a05c992c596',0,1,'job-2','2026-11-23T12:08:45.103010Z','2026-11-23T12:08:45.103010Z','ana',NULL,NULL,'{"allocation_id":"job-2","command":"allocate","owner":"ben","quantities":{"gpu":2},"tags":{}}','{"pool":"gpu","allocation_id":"job-2","owner":"ben","quantity":2,"pools":["gpu"],"epoch":1,"tags":{},"deadline":null}',X'53649F4315508B97A21A51E706FF0C27682BD9F89885D1FE21FD620BD62C59C1');
INSERT INTO "events" VALUES(4,'refusals:gpu',1,'ValidationFailed',1,'~ee4888259a883cc18cb891af2f3bc831f36b1089309c7b61480d3d3f9477c919',0,1,'job-3','2026-11-23T12:08:45.756629Z','2026-11-23T12:08:45.756629Z','ana',NULL,NULL,'{"allocation_id":"job-3","command":"allocate","owner":"cleo","quantities":{"gpu":9},"tags":{}}','{"code":"above_capacity","pool":"gpu","known":true,"allocation_id":"job-3","asked":{"allocation_id":"job-3","command":"allocate","owner":"cleo","quantities":{"gpu":9},"tags":{}},"data":{"pool":"gpu","allocation_id":"job-3","unit":"unit","capacity":8,"used":3,"free":5,"limit":8,"asked":9}}',X'1E000107B55D21D2F00544EF41E4528359221C96052BB54CCAC3A33793B281E9');
INSERT INTO "events" VALUES(5,'pool:gpu',4,'Released',1,'01a2084f-064d-77a4-a158-e0688ab1904e',0,1,'job-1','2026-11-23T12:08:46.414730Z','2026-11-23T12:08:46.414730Z','ana',NULL,NULL,'{"allocation_id":"job-1","command":"release"}','{"pool":"gpu","allocation_id":"job-1","owner":"ana","quantity":1,"reserved":false,"reason":null}',X'C24A8C5984BF1DDF6B83531DC418EB4E365535F63131CEC961C6AF106C8FCFC5');
CREATE TABLE gen_allocation_history_1 (
	position BIGINT NOT NULL, 
	allocation_id TEXT, 
	pool TEXT, 
	event TEXT, 
	owner TEXT, 
	quantity BIGINT, 
	deadline TEXT, 
	reason TEXT, 
	code TEXT, 
	occurred_at TEXT, 
	recorded_at TEXT, 
	actor TEXT, 
	command_id TEXT, 
	correlation_id TEXT, 
	causation_id TEXT, 
	PRIMARY KEY (position)
);
INSERT INTO "gen_allocation_history_1" VALUES(2,'job-1','gpu','Allocated','ana',1,NULL,NULL,NULL,'2026-11-23T12:08:44.444837Z','2026-11-23T12:08:44.444837Z','ana','~3a1d3629b849f801e659d60cc11b24ca6138075a74ff85f2201c33ad3ccf6ed2',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(3,'job-2','gpu','Allocated','ben',2,NULL,NULL,NULL,'2026-11-23T12:08:45.103010Z','2026-11-23T12:08:45.103010Z','ana','~f7fddebb25fd3642b442b0cdc0d1b4de684380e63d107d999b733a05c992c596',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(4,'job-3','gpu','ValidationFailed',NULL,NULL,NULL,NULL,'above_capacity','2026-11-23T12:08:45.756629Z','2026-11-23T12:08:45.756629Z','ana','~ee4888259a883cc18cb891af2f3bc831f36b1089309c7b61480d3d3f9477c919',NULL,NULL);
INSERT INTO "gen_allocation_history_1" VALUES(5,'job-1','gpu','Released','ana',1,NULL,NULL,NULL,'2026-11-23T12:08:46.414730Z','2026-11-23T12:08:46.414730Z','ana','01a2084f-064d-77a4-a158-e0688ab1904e',NULL,NULL);
CREATE TABLE gen_current_allocations_1 (
	allocation_id TEXT NOT NULL, 
	pool TEXT NOT NULL, 
	owner TEXT, 
	quantity BIGINT, 
	state TEXT, 
	deadline TEXT, 
	token TEXT, 
	tags TEXT, 
	opened_at TEXT, 
	opened_by TEXT, 
	position BIGINT, 
	PRIMARY KEY (allocation_id, pool)
);
INSERT INTO "gen_current_allocations_1" VALUES('job-2','gpu','ben',2,'active',NULL,'1:3','{}','2026-11-23T12:08:45.103010Z','ana',3);
CREATE TABLE gen_metrics_1 (
	resource_type TEXT, 
	pool TEXT NOT NULL, 
	operation TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	code TEXT NOT NULL, 
	count BIGINT, 
	PRIMARY KEY (pool, operation, outcome, code)
);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','open_pool','done','',1);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','allocate','done','',2);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','allocate','refused','above_capacity',1);
INSERT INTO "gen_metrics_1" VALUES('gpu','gpu','release','done','',1);
CREATE TABLE gen_pool_usage_2 (
	pool TEXT NOT NULL, 
	bucket TEXT NOT NULL, 
	used BIGINT, 
	peak BIGINT, 
	capacity BIGINT, 
	allocations BIGINT, 
	grants BIGINT, 
	endings BIGINT, 
	position BIGINT, 
	PRIMARY KEY (pool, bucket)
);
INSERT INTO "gen_pool_usage_2" VALUES('gpu','2026-11-23T12:00:00.000000Z',2,3,8,1,2,1,5);
CREATE TABLE gen_validation_failures_1 (
	position BIGINT NOT NULL, 
	occurred_at TEXT, 
	recorded_at TEXT, 
	operation TEXT, 
	code TEXT, 
	pool TEXT, 
	owner TEXT, 
	allocation_id TEXT, 
	actor TEXT, 
	asked TEXT, 
	data TEXT, 
	command_id TEXT, 
	correlation_id TEXT, 
	causation_id TEXT, 
	PRIMARY KEY (position)
);
INSERT INTO "gen_validation_failures_1" VALUES(4,'2026-11-23T12:08:45.756629Z','2026-11-23T12:08:45.756629Z','allocate','above_capacity','gpu','cleo','job-3','ana','{"allocation_id":"job-3","command":"allocate","owner":"cleo","quantities":{"gpu":9},"tags":{}}','{"allocation_id":"job-3","asked":9,"capacity":8,"free":5,"limit":8,"pool":"gpu","unit":"unit","used":3}','~ee4888259a883cc18cb891af2f3bc831f36b1089309c7b61480d3d3f9477c919',NULL,NULL);
CREATE TABLE generations (
	"view" TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	CONSTRAINT pk_generations PRIMARY KEY ("view")
);
INSERT INTO "generations" VALUES('current_allocations',1);
INSERT INTO "generations" VALUES('allocation_history',1);
INSERT INTO "generations" VALUES('metrics',1);
INSERT INTO "generations" VALUES('validation_failures',1);
INSERT INTO "generations" VALUES('pool_usage',2);
CREATE TABLE ledger_meta (
	one SMALLINT NOT NULL, 
	ledger_id TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	format SMALLINT NOT NULL, 
	CONSTRAINT pk_ledger_meta PRIMARY KEY (one), 
	CONSTRAINT ck_ledger_meta_one CHECK (one = 1)
);
INSERT INTO "ledger_meta" VALUES(1,'01a2084e-fbf3-7779-83d7-ab7579cd47d4',1,1);
CREATE TABLE snapshots (
	stream_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	data TEXT NOT NULL, 
	CONSTRAINT pk_snapshots PRIMARY KEY (stream_id, version)
);
CREATE TABLE tracking (
	name TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	CONSTRAINT pk_tracking PRIMARY KEY (name)
);
INSERT INTO "tracking" VALUES('gen_current_allocations_1',5);
INSERT INTO "tracking" VALUES('gen_allocation_history_1',5);
INSERT INTO "tracking" VALUES('gen_metrics_1',5);
INSERT INTO "tracking" VALUES('gen_validation_failures_1',5);
INSERT INTO "tracking" VALUES('gen_pool_usage_2',5);
CREATE INDEX ix_events_allocation_id_position ON events (allocation_id, position) WHERE allocation_id IS NOT NULL;
CREATE UNIQUE INDEX uq_events_opening ON events (allocation_id) WHERE type IN ('Allocated', 'Reserved') AND command IS NOT NULL;
CREATE INDEX ix_events_pool_opened ON events (stream_id) WHERE type = 'PoolOpened';
CREATE TRIGGER events_no_update BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are immutable: UPDATE is refused'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are immutable: DELETE is refused'); END;
CREATE TRIGGER events_no_replace BEFORE INSERT ON events
    WHEN EXISTS (SELECT 1 FROM events WHERE stream_id = NEW.stream_id AND version = NEW.version)
    OR EXISTS (SELECT 1 FROM events WHERE command_id = NEW.command_id AND ordinal = NEW.ordinal)
    OR NEW.command IS NOT NULL AND NEW.type IN ('Allocated', 'Reserved') AND EXISTS (
        SELECT 1 FROM events WHERE allocation_id = NEW.allocation_id
        AND type IN ('Allocated', 'Reserved') AND command IS NOT NULL)
    BEGIN SELECT RAISE(ABORT, 'the place of an event, its command id or its allocation id is taken'); END;
CREATE TRIGGER events_at_the_end BEFORE INSERT ON events
    WHEN NEW.position <> (SELECT coalesce(max(position), 0) + 1 FROM events)
    BEGIN SELECT RAISE(ABORT, 'events are appended at the end of the log'); END;
CREATE INDEX ix_gen_current_allocations_1_pool ON gen_current_allocations_1 (pool);
CREATE INDEX ix_gen_current_allocations_1_owner ON gen_current_allocations_1 (owner);
CREATE VIEW current_allocations AS SELECT allocation_id, pool, owner, quantity, state, deadline, token, tags, opened_at, opened_by, position FROM gen_current_allocations_1;
CREATE INDEX ix_gen_allocation_history_1_owner_position ON gen_allocation_history_1 (owner, position);
CREATE INDEX ix_gen_allocation_history_1_allocation_id_position ON gen_allocation_history_1 (allocation_id, position);
CREATE VIEW allocation_history AS SELECT position, allocation_id, pool, event, owner, quantity, deadline, reason, code, occurred_at, recorded_at, actor, command_id, correlation_id, causation_id FROM gen_allocation_history_1;
CREATE VIEW metrics AS SELECT resource_type, pool, operation, outcome, code, count FROM gen_metrics_1;
CREATE INDEX ix_gen_validation_failures_1_occurred_at ON gen_validation_failures_1 (occurred_at);
CREATE INDEX ix_gen_validation_failures_1_owner_position ON gen_validation_failures_1 (owner, position);
CREATE INDEX ix_gen_validation_failures_1_pool_position ON gen_validation_failures_1 (pool, position);
CREATE VIEW validation_failures AS SELECT position, occurred_at, recorded_at, operation, code, pool, owner, allocation_id, actor, asked, data, command_id, correlation_id, causation_id FROM gen_validation_failures_1;
CREATE INDEX ix_gen_pool_usage_2_bucket ON gen_pool_usage_2 (bucket);
CREATE VIEW pool_usage AS SELECT pool, bucket, used, peak, capacity, allocations, grants, endings, position FROM gen_pool_usage_2;
COMMIT;
