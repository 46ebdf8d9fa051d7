BEGIN TRANSACTION;
CREATE TABLE holdbook_schema (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT holdbook_schema_pkc PRIMARY KEY (version_num)
);
INSERT INTO "holdbook_schema" VALUES('0003');
CREATE TABLE checkpoints (
	number BIGINT NOT NULL, 
	size BIGINT NOT NULL, 
	note TEXT NOT NULL, 
	sealed_at TEXT NOT NULL, 
	CONSTRAINT pk_checkpoints PRIMARY KEY (number)
);
CREATE TABLE cosignatures (
	checkpoint BIGINT NOT NULL, 
	"key" TEXT NOT NULL, 
	line TEXT NOT NULL, 
	cosigned_at TEXT NOT NULL, 
	CONSTRAINT pk_cosignatures PRIMARY KEY (checkpoint, "key")
);
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
INSERT INTO "events" VALUES(1,'pool:cpu',1,'PoolOpened',1,'~6a4f37810edda44d977358b11aed7468aa501e558b9ef628d566d16be2889207',0,1,NULL,'2026-01-01T00:00:00.000000Z','2026-01-01T00:00:00.000000Z','teller',NULL,NULL,'{"command":"open_pool","limits":{"overcommit":"1","reserved":0,"step":5,"total":100},"pool":"cpu","resource_type":"cpu","unit":"unit"}','{"pool":"cpu","resource_type":"cpu","unit":"unit","limits":{"total":100,"reserved":0,"overcommit":"1","min_size":null,"max_size":null,"step":5,"max_allocations":null,"per_owner":null,"default_ttl":null,"max_ttl":null}}',X'6C5D875F74C4FCF3225CE54486E7CD076EA861B00A9519AF39F8C2B78A4C8A93');
INSERT INTO "events" VALUES(2,'pool:gpu',1,'PoolOpened',1,'~eb59ceac7fd430a43b8320b9efe36eb839993ea2388df37d7604f82a5375f78e',0,1,NULL,'2026-01-01T00:00:00.000000Z','2026-01-01T00:00:00.000000Z','teller',NULL,NULL,'{"command":"open_pool","limits":{"max_size":4,"overcommit":"1","per_owner":6,"reserved":0,"total":8},"pool":"gpu","resource_type":"gpu","unit":"unit"}','{"pool":"gpu","resource_type":"gpu","unit":"unit","limits":{"total":8,"reserved":0,"overcommit":"1","min_size":null,"max_size":4,"step":null,"max_allocations":null,"per_owner":6,"default_ttl":null,"max_ttl":null}}',X'345429574CFE3B2D88D144B5489EC72B37289B8F362B2E445E62A361775F0665');
INSERT INTO "events" VALUES(3,'pool:seats',1,'PoolOpened',1,'~a3e7d0f861c11488a7956be578675925338b9a022647dfe57744a84eb874ee75',0,1,NULL,'2026-01-01T00:00:00.000000Z','2026-01-01T00:00:00.000000Z','teller',NULL,NULL,'{"command":"open_pool","limits":{"default_ttl":50,"max_ttl":60,"overcommit":"1","reserved":0,"total":2},"pool":"seats","resource_type":"seat","unit":"unit"}','{"pool":"seats","resource_type":"seat","unit":"unit","limits":{"total":2,"reserved":0,"overcommit":"1","min_size":null,"max_size":null,"step":null,"max_allocations":null,"per_owner":null,"default_ttl":50,"max_ttl":60}}',X'82155821A135C2A440358322D747F5914F8056A72432EB1BFDE83D4EBF3A0EB4');
INSERT INTO "events" VALUES(4,'pool:cpu',2,'Allocated',1,'~51facedc0f6c7db08aacfb1f2860ef9e2bd47dea9117fb2a175485ff8825e421',0,2,'a1','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"allocate","owner":"ann","quantities":{"cpu":20,"gpu":2},"tags":{"job":"7"},"ttl":100}','{"pool":"cpu","allocation_id":"a1","owner":"ann","quantity":20,"pools":["cpu","gpu"],"epoch":1,"tags":{"job":"7"},"deadline":"2026-01-01T00:01:50.000000Z"}',X'19C6E39C82DFC3D9FECBC99CAE58D4F6F317C9B341A5AF8680385F6A80FFC02D');
INSERT INTO "events" VALUES(5,'pool:gpu',2,'Allocated',1,'~51facedc0f6c7db08aacfb1f2860ef9e2bd47dea9117fb2a175485ff8825e421',1,2,'a1','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"ann","quantity":2,"pools":["cpu","gpu"],"epoch":1,"tags":{"job":"7"},"deadline":"2026-01-01T00:01:50.000000Z"}',X'C8192A773D320FD8E6F014E95086E9EF22F656B4E01591EEF2B2328DFE6A22C0');
INSERT INTO "events" VALUES(6,'pool:gpu',3,'Allocated',1,'c2',0,1,'a2','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','bob',NULL,NULL,'{"actor":"bob","allocation_id":"a2","command":"allocate","owner":"bob","quantities":{"gpu":2},"tags":{}}','{"pool":"gpu","allocation_id":"a2","owner":"bob","quantity":2,"pools":["gpu"],"epoch":1,"tags":{},"deadline":null}',X'5776FC34621B9C40F446CE45A21C9AE667965E57264A3F5618626363E553FFE3');
INSERT INTO "events" VALUES(7,'pool:cpu',3,'Reserved',1,'~800eebd8fd89600dc2bc4d713ac639c3fb26680c6b58aa83531321a16153f477',0,2,'r1','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,'{"allocation_id":"r1","command":"reserve","owner":"cid","quantities":{"cpu":5,"seats":1},"tags":{},"ttl":20}','{"pool":"cpu","allocation_id":"r1","owner":"cid","quantity":5,"pools":["cpu","seats"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:00:30.000000Z"}',X'1A61108A1627C59A1A9B7F1DC224093A46255F82F248BC79F055090CA97CCBE4');
INSERT INTO "events" VALUES(8,'pool:seats',2,'Reserved',1,'~800eebd8fd89600dc2bc4d713ac639c3fb26680c6b58aa83531321a16153f477',1,2,'r1','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,NULL,'{"pool":"seats","allocation_id":"r1","owner":"cid","quantity":1,"pools":["cpu","seats"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:00:30.000000Z"}',X'317B0B9E5D9369C4DAC12D63DB8C8EA9BAB198CBB9DF58689823F603381AE0C4');
INSERT INTO "events" VALUES(9,'pool:gpu',4,'Reserved',1,'~3db851c67ad3d915ac0154fadbb19dfb38c374d7dea8bcada94cbcadc00bb016',0,1,'r2','2026-01-01T00:00:10.000000Z','2026-01-01T00:00:10.000000Z','teller',NULL,NULL,'{"allocation_id":"r2","command":"reserve","owner":"dee","quantities":{"gpu":1},"tags":{},"ttl":20}','{"pool":"gpu","allocation_id":"r2","owner":"dee","quantity":1,"pools":["gpu"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:00:30.000000Z"}',X'C17E6AF3AA0D9FD66629E0DCA2EA0463992883FF108D10A0313897132C9C30B4');
INSERT INTO "events" VALUES(10,'pool:cpu',4,'Confirmed',1,'01a2098a-d3c6-71d3-8d42-d24b22834e20',0,2,'r1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','story',NULL,'{"allocation_id":"r1","command":"confirm","correlation_id":"story"}','{"pool":"cpu","allocation_id":"r1","owner":"cid","quantity":5,"deadline":"2026-01-01T00:01:10.000000Z"}',X'5BDA046CCB84D5BC666870D2A823576621E89AEF709B764A2F05BF3B1D83DAFC');
INSERT INTO "events" VALUES(11,'pool:seats',3,'Confirmed',1,'01a2098a-d3c6-71d3-8d42-d24b22834e20',1,2,'r1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller','story',NULL,NULL,'{"pool":"seats","allocation_id":"r1","owner":"cid","quantity":1,"deadline":"2026-01-01T00:01:10.000000Z"}',X'DDB8DB2CEA387A7AFBBF8DFBA3130406C72D95ED0DBDEDEBD84B1E410FA14AA0');
INSERT INTO "events" VALUES(12,'pool:gpu',5,'Voided',1,'01a2098a-d3ca-7797-9243-09912c739f3a',0,1,'r2','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"r2","command":"void","reason":"no need"}','{"pool":"gpu","allocation_id":"r2","owner":"dee","quantity":1,"reserved":true,"reason":"no need"}',X'EE01DDBC116178B15F6996AA5F063312B8A0E6F7C80918CBF41E9CC3B4DA4CDF');
INSERT INTO "events" VALUES(13,'pool:cpu',5,'Renewed',1,'01a2098a-d3cd-76ef-9af1-a92baf14f546',0,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"renew","ttl":200}','{"pool":"cpu","allocation_id":"a1","owner":"ann","quantity":20,"deadline":"2026-01-01T00:03:40.000000Z","previous_deadline":"2026-01-01T00:01:50.000000Z"}',X'3B31903F836D9AE2845433C8A846D6B4E00FFF594FB9F64E15B53E8F1A9FBB18');
INSERT INTO "events" VALUES(14,'pool:gpu',6,'Renewed',1,'01a2098a-d3cd-76ef-9af1-a92baf14f546',1,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"ann","quantity":2,"deadline":"2026-01-01T00:03:40.000000Z","previous_deadline":"2026-01-01T00:01:50.000000Z"}',X'533A1C21378EEECB9D206897D6A48F3A0BE2EE67C902EC5893AE2C77C073F0C7');
INSERT INTO "events" VALUES(15,'pool:cpu',6,'Resized',1,'01a2098a-d3d2-7697-a207-6a2e29ff1251',0,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"resize","quantities":{"cpu":40,"gpu":1}}','{"pool":"cpu","allocation_id":"a1","owner":"ann","quantity":40,"previous_quantity":20}',X'55BE3B2F11C5319A3CB94E1B0E3F2EA51424C4133D7DBF52B410E34CE7ABE133');
INSERT INTO "events" VALUES(16,'pool:gpu',7,'Resized',1,'01a2098a-d3d2-7697-a207-6a2e29ff1251',1,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"ann","quantity":1,"previous_quantity":2}',X'8997EBCC056C26DB0CA2B20CF190FDD0F308C1742252AF7F632E79899F22B138');
INSERT INTO "events" VALUES(17,'pool:cpu',7,'Transferred',1,'01a2098a-d3d4-758a-8742-2c5b0a9d6a8a',0,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"transfer","to":"bob"}','{"pool":"cpu","allocation_id":"a1","owner":"bob","quantity":40,"previous_owner":"ann"}',X'4162EB8620A1010F47F662E78549BD2206465646793BC1F61B9E3A3DD2E96EA9');
INSERT INTO "events" VALUES(18,'pool:gpu',8,'Transferred',1,'01a2098a-d3d4-758a-8742-2c5b0a9d6a8a',1,2,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"bob","quantity":1,"previous_owner":"ann"}',X'855987EDE72DDF6BDAC331D043CC30E2046ED75A5B9B16AD6E723F1C5497FAFD');
INSERT INTO "events" VALUES(19,'pool:gpu',9,'LimitsChanged',1,'01a2098a-d3da-7159-b51f-fba29b9719a9',0,1,NULL,'2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"command":"change_limits","limits":{"max_size":4,"overcommit":"1","reserved":0,"total":2},"pool":"gpu"}','{"pool":"gpu","limits":{"total":2,"reserved":0,"overcommit":"1","min_size":null,"max_size":4,"step":null,"max_allocations":null,"per_owner":null,"default_ttl":null,"max_ttl":null},"previous":{"total":8,"reserved":0,"overcommit":"1","min_size":null,"max_size":4,"step":null,"max_allocations":null,"per_owner":6,"default_ttl":null,"max_ttl":null}}',X'5D8BC01A5EAC8F02F9EAB2E876D9DC6148954F64C88F658C5379F1B889F4D530');
INSERT INTO "events" VALUES(20,'refusals:gpu',1,'ValidationFailed',1,'~30572ad0fc780162f97f682b3687fb7e6c2365393ba998cf2e2706c3ffd152c8',0,1,'a3','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a3","command":"allocate","owner":"eve","quantities":{"gpu":1},"tags":{}}','{"code":"pool_exhausted","pool":"gpu","known":true,"allocation_id":"a3","asked":{"allocation_id":"a3","command":"allocate","owner":"eve","quantities":{"gpu":1},"tags":{}},"data":{"pool":"gpu","allocation_id":"a3","unit":"unit","capacity":2,"used":3,"free":0,"limit":2,"asked":1}}',X'1EF9C60EF93CC6862C264D4F923C6A751062A572C2BEF886E214AD91B5F738FE');
INSERT INTO "events" VALUES(21,'refusals:',1,'ValidationFailed',1,'01a2098a-d3e7-766b-a017-5482cdbca926',0,1,'nobody','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"nobody","command":"release"}','{"code":"allocation_not_found","pool":null,"known":false,"allocation_id":"nobody","asked":{"allocation_id":"nobody","command":"release"},"data":{"allocation_id":"nobody"}}',X'C77C1A3143782B5BA65DEE4E06BF0DA12C81558CC633E92BE6BCFA5938A03C72');
INSERT INTO "events" VALUES(22,'pool:cpu',8,'Resized',1,'01a2098a-d3e8-75a8-b968-74dec43daccc',0,1,'a1','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"resize","quantities":{"cpu":30}}','{"pool":"cpu","allocation_id":"a1","owner":"bob","quantity":30,"previous_quantity":40}',X'CF6E4838B5C83475CB802C043689E7DD83F04C6537F39A9AD9D3B1409C96E3CD');
INSERT INTO "events" VALUES(23,'pool:gpu',10,'Released',2,'01a2098a-d3e8-75a8-b968-74df8ebf131a',0,1,'a2','2026-01-01T00:00:20.000000Z','2026-01-01T00:00:20.000000Z','teller',NULL,NULL,'{"allocation_id":"a2","command":"release","reason":"done"}','{"pool":"gpu","allocation_id":"a2","owner":"bob","quantity":2,"reserved":false,"reason":"done","forced":false}',X'B06D7F2A4F446E3D2C70A323542ADAC12916B5F88D2AE28E5FF979AEABC17D2F');
INSERT INTO "events" VALUES(24,'pool:seats',4,'Allocated',1,'~e2fcd3c7dfa1c16a3c566c2f2d19f64e1666e6ed5dbbd1f73d2f83b71ebe6597',0,1,'s1','2026-01-01T00:00:30.000000Z','2026-01-01T00:00:30.000000Z','teller',NULL,NULL,'{"allocation_id":"s1","command":"allocate","owner":"cid","quantities":{"seats":1},"tags":{}}','{"pool":"seats","allocation_id":"s1","owner":"cid","quantity":1,"pools":["seats"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:01:20.000000Z"}',X'1C80B47C7A8F40D84BC2FD640B08E7FF7F367E3F16859B936536850455BBBAF9');
INSERT INTO "events" VALUES(25,'pool:cpu',9,'Expired',1,'01a2098a-d3eb-748d-8517-18da38904b1c',0,6,'r1','2026-01-01T00:01:10.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"cpu","allocation_id":"r1","owner":"cid","quantity":5,"reserved":false,"deadline":"2026-01-01T00:01:10.000000Z"}',X'9FC7E8CB105FD40B75AEB8F0E57101C241DEFDC806264F8AA7458774F6474187');
INSERT INTO "events" VALUES(26,'pool:seats',5,'Expired',1,'01a2098a-d3eb-748d-8517-18da38904b1c',1,6,'r1','2026-01-01T00:01:10.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"seats","allocation_id":"r1","owner":"cid","quantity":1,"reserved":false,"deadline":"2026-01-01T00:01:10.000000Z"}',X'C4266970D4E51F09D84988D6EA7890F68177D87024A66E47EC8B7F30CFC3E93E');
INSERT INTO "events" VALUES(27,'pool:seats',6,'Expired',1,'01a2098a-d3eb-748d-8517-18da38904b1c',2,6,'s1','2026-01-01T00:01:20.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"seats","allocation_id":"s1","owner":"cid","quantity":1,"reserved":false,"deadline":"2026-01-01T00:01:20.000000Z"}',X'4873CBFA9AB0D57A17A67D2066FFD447F8762C8FE3DCC13812978EEE93D11A74');
INSERT INTO "events" VALUES(28,'pool:cpu',10,'Expired',1,'01a2098a-d3eb-748d-8517-18da38904b1c',3,6,'a1','2026-01-01T00:03:40.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"cpu","allocation_id":"a1","owner":"bob","quantity":30,"reserved":false,"deadline":"2026-01-01T00:03:40.000000Z"}',X'5BD5A6CE2DE3EEF24C44CA8A14EE2E79D0060FAAED503B9F055BF28183211B7B');
INSERT INTO "events" VALUES(29,'pool:gpu',11,'Expired',1,'01a2098a-d3eb-748d-8517-18da38904b1c',4,6,'a1','2026-01-01T00:03:40.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"a1","owner":"bob","quantity":1,"reserved":false,"deadline":"2026-01-01T00:03:40.000000Z"}',X'802788023C77A1F539B806E11FE59B81496FA8C603C1ADDECE22A17EC8E4FFB5');
INSERT INTO "events" VALUES(30,'refusals:cpu',1,'ValidationFailed',1,'01a2098a-d3eb-748d-8517-18da38904b1c',5,6,'a1','2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,'{"allocation_id":"a1","command":"renew","ttl":10}','{"code":"allocation_ended","pool":"cpu","known":true,"allocation_id":"a1","asked":{"allocation_id":"a1","command":"renew","ttl":10},"data":{"pool":"cpu","allocation_id":"a1","unit":"unit","capacity":100,"used":0,"free":100,"state":"expired"}}',X'CA9BFDD7C75D02BBBDC7A38B09342FB3F4F68E803D2A8E67A271BE4F365F3524');
INSERT INTO "events" VALUES(31,'pool:seats',7,'Allocated',1,'~67b5ec8b6f9d8a4ffc71a30bd175ab07f65057334dc5a3adcb06fd3e6f436332',0,1,'s2','2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,'{"allocation_id":"s2","command":"allocate","owner":"fay","quantities":{"seats":2},"tags":{}}','{"pool":"seats","allocation_id":"s2","owner":"fay","quantity":2,"pools":["seats"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:05:50.000000Z"}',X'D9D3E63FB99D18A3978001787733B4F7F6499170BAF9E261E18FFCB92448B22A');
INSERT INTO "events" VALUES(32,'pool:seats',8,'PoolClosed',1,'01a2098a-d3ed-77d7-bd92-b8a2bc789724',0,1,NULL,'2026-01-01T00:05:00.000000Z','2026-01-01T00:05:00.000000Z','teller',NULL,NULL,'{"command":"close_pool","pool":"seats","reason":"moved"}','{"pool":"seats","reason":"moved"}',X'618A6B648C1B8BF70B75629C48B076EB88FAF3E12EA7C57802CD41897DDB76BF');
INSERT INTO "events" VALUES(33,'pool:seats',9,'Expired',1,'01a2098a-d3f0-7392-9841-cca428156ecc',0,1,'s2','2026-01-01T00:05:50.000000Z','2026-01-01T00:06:40.000000Z','teller',NULL,NULL,'{"command":"expire"}','{"pool":"seats","allocation_id":"s2","owner":"fay","quantity":2,"reserved":false,"deadline":"2026-01-01T00:05:50.000000Z"}',X'668B8413086A573F7B9DB996E214CED4AAA3DC3A47AD5CDD9424B20BDE880FAF');
INSERT INTO "events" VALUES(34,'pool:cpu',11,'Allocated',1,'~cdb010dfeef64a92705bab2eb3b0f93186b981f231527f09008bbc035199ee9b',0,1,'a4','2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller',NULL,NULL,'{"allocation_id":"a4","command":"allocate","owner":"gil","quantities":{"cpu":10},"tags":{}}','{"pool":"cpu","allocation_id":"a4","owner":"gil","quantity":10,"pools":["cpu"],"epoch":1,"tags":{},"deadline":null}',X'021EEAB5400709FF349920FB6335E264C2C477CEACDD5BB7D7ADE57D35129457');
INSERT INTO "events" VALUES(35,'pool:cpu',12,'Reserved',1,'~d48490899c3926fa2dc6343633b946bf1d1b8de479262ba87962837383503280',0,2,'r3','2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller',NULL,NULL,'{"allocation_id":"r3","command":"reserve","owner":"gil","quantities":{"cpu":10,"gpu":1},"tags":{},"ttl":1000}','{"pool":"cpu","allocation_id":"r3","owner":"gil","quantity":10,"pools":["cpu","gpu"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:23:20.000000Z"}',X'59F072C7848C03BBDCDE53D958EC1B3BBEF9FB50241C4439C076510671E3D4C1');
INSERT INTO "events" VALUES(36,'pool:gpu',12,'Reserved',1,'~d48490899c3926fa2dc6343633b946bf1d1b8de479262ba87962837383503280',1,2,'r3','2026-01-01T00:06:40.000000Z','2026-01-01T00:06:40.000000Z','teller',NULL,NULL,NULL,'{"pool":"gpu","allocation_id":"r3","owner":"gil","quantity":1,"pools":["cpu","gpu"],"epoch":1,"tags":{},"deadline":"2026-01-01T00:23:20.000000Z"}',X'8124CE02BAAA9F3F2992013F634709CFBAEF959E1C299F3B2CEA17E78FF5D666');
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
CREATE TABLE gen_metrics_1 (
	resource_type TEXT, 
	pool TEXT NOT NULL, 
	operation TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	code TEXT NOT NULL, 
	count BIGINT, 
	milliseconds BIGINT, 
	le_1s BIGINT, 
	le_10s BIGINT, 
	le_1m BIGINT, 
	le_10m BIGINT, 
	le_1h BIGINT, 
	le_6h BIGINT, 
	le_1d BIGINT, 
	le_7d BIGINT, 
	le_30d BIGINT, 
	PRIMARY KEY (pool, operation, outcome, code)
);
CREATE TABLE gen_metrics_holds_1 (
	allocation_id TEXT NOT NULL, 
	pool TEXT NOT NULL, 
	opened_at TEXT, 
	PRIMARY KEY (allocation_id, pool)
);
CREATE TABLE gen_pool_usage_1 (
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
CREATE TABLE generations (
	"view" TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	fingerprint TEXT NOT NULL, 
	tables TEXT NOT NULL, 
	position BIGINT NOT NULL, 
	moved_at TEXT, 
	rate BIGINT, 
	compared_at BIGINT, 
	stopped_at BIGINT, 
	stopped_type TEXT, 
	error TEXT, 
	CONSTRAINT pk_generations PRIMARY KEY ("view", generation)
);
INSERT INTO "generations" VALUES('current_allocations',1,'live',1,'ef657b3bed38edae','gen_current_allocations_1',0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "generations" VALUES('allocation_history',1,'live',1,'299a7011b8851fa7','gen_allocation_history_1',0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "generations" VALUES('pool_usage',1,'live',1,'08d554ac7cc985af','gen_pool_usage_1',0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "generations" VALUES('metrics',1,'live',2,'d2b9be13c21baa70','gen_metrics_1 gen_metrics_holds_1',0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "generations" VALUES('validation_failures',1,'live',1,'f8dc612d67d83d1b','gen_validation_failures_1',0,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE ledger_meta (
	one SMALLINT NOT NULL, 
	ledger_id TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	format SMALLINT NOT NULL, 
	CONSTRAINT pk_ledger_meta PRIMARY KEY (one), 
	CONSTRAINT ck_ledger_meta_one CHECK (one = 1)
);
INSERT INTO "ledger_meta" VALUES(1,'01a2098a-d32b-70e1-b918-6979bb440354',1,1);
CREATE TABLE seal_keys (
	"key" TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	CONSTRAINT pk_seal_keys PRIMARY KEY ("key")
);
CREATE TABLE seal_tiles (
	level SMALLINT NOT NULL, 
	number BIGINT NOT NULL, 
	hashes BLOB NOT NULL, 
	chain BLOB, 
	CONSTRAINT pk_seal_tiles PRIMARY KEY (level, number)
);
CREATE TABLE skipped_events (
	"view" TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	position BIGINT NOT NULL, 
	type TEXT NOT NULL, 
	error TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	skipped_at TEXT NOT NULL, 
	CONSTRAINT pk_skipped_events PRIMARY KEY ("view", generation, position)
);
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
CREATE UNIQUE INDEX uq_generations_live ON generations ("view") WHERE state = 'live';
CREATE INDEX ix_gen_current_allocations_1_pool ON gen_current_allocations_1 (pool);
CREATE INDEX ix_gen_current_allocations_1_owner ON gen_current_allocations_1 (owner);
CREATE VIEW current_allocations AS SELECT allocation_id, pool, owner, quantity, state, deadline, token, tags, opened_at, opened_by, position FROM gen_current_allocations_1;
CREATE INDEX ix_gen_allocation_history_1_owner_position ON gen_allocation_history_1 (owner, position);
CREATE INDEX ix_gen_allocation_history_1_allocation_id_position ON gen_allocation_history_1 (allocation_id, position);
CREATE VIEW allocation_history AS SELECT position, allocation_id, pool, event, owner, quantity, deadline, reason, code, occurred_at, recorded_at, actor, command_id, correlation_id, causation_id FROM gen_allocation_history_1;
CREATE INDEX ix_gen_pool_usage_1_bucket ON gen_pool_usage_1 (bucket);
CREATE VIEW pool_usage AS SELECT pool, bucket, used, peak, capacity, allocations, grants, endings, position FROM gen_pool_usage_1;
CREATE VIEW metrics AS SELECT resource_type, pool, operation, outcome, code, count, milliseconds, le_1s, le_10s, le_1m, le_10m, le_1h, le_6h, le_1d, le_7d, le_30d FROM gen_metrics_1;
CREATE INDEX ix_gen_validation_failures_1_occurred_at ON gen_validation_failures_1 (occurred_at);
CREATE INDEX ix_gen_validation_failures_1_pool_position ON gen_validation_failures_1 (pool, position);
CREATE INDEX ix_gen_validation_failures_1_owner_position ON gen_validation_failures_1 (owner, position);
CREATE VIEW validation_failures AS SELECT position, occurred_at, recorded_at, operation, code, pool, owner, allocation_id, actor, asked, data, command_id, correlation_id, causation_id FROM gen_validation_failures_1;
COMMIT;
