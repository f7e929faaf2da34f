// The receiver: FluentServer of @fluent-org/logger. Says where it listens, then each entry as a line of JSON.
const { FluentServer } = require("@fluent-org/logger");

const server = new FluentServer({ listenOptions: { host: "127.0.0.1", port: Number(process.argv[2] ?? 0) } });
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");
server.on("entry", (tag, time, record) => say({ tag, seconds: time.epoch, nanos: time.nano, record }));
server.listen().then(() => say({ port: server.port }));
// Ends with the test.
process.stdin.on("end", () => process.exit(0)).resume();
