// Takes all that it can get of one thing: `memory`, `processes` or `log`.
const { spawn } = require('child_process');

const taken = [];
const takes = {
  memory: () => setInterval(() => taken.push(Buffer.alloc(32 << 20, 1)), 1),
  processes: () => {
    const more = () => {
      const one = spawn('sleep', ['60'], { stdio: 'ignore' });
      one.on('spawn', () => (taken.push(one), more()));
      one.on('error', (error) => {
        console.log(`refused after ${taken.length}: ${error.code}`);
        process.exit(7);
      });
    };
    more();
  },
  log: () => {
    for (let line = 0; line < 50_000; line += 1) console.log(`line ${line} ${'x'.repeat(60)}`);
  },
};
takes[process.argv[2]]();
