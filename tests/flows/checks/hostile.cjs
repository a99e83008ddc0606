// What a hostile test of an application tries. Each attack says on a line of its own whether it came
// through; targets.json, beside this file, says where things are that it should not reach.
const fs = require('fs');
const net = require('net');
const path = require('path');
const { execFileSync, spawn } = require('child_process');

const targets = JSON.parse(fs.readFileSync('targets.json', 'utf8'));
const CANARY = /CANARY-[0-9a-f]{12}/;

const readable = (file) => {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return '';
  }
};
const run = (program, ...args) =>
  execFileSync(program, args, { encoding: 'latin1', timeout: 20_000, stdio: 'pipe' });
const connects = (host, port) =>
  new Promise((resolve) => {
    const socket = net.connect({ host, port, timeout: 1500 });
    const end = (through) => (socket.destroy(), resolve(through && `${host}:${port}`));
    socket.on('connect', () => end(true)).on('error', () => end(false)).on('timeout', () => end(false));
  });
const gateway = () => {
  const row = readable('/proc/net/route').split('\n').find((line) => line.split('\t')[1] === '00000000');
  const hex = row.split('\t')[2];
  return [3, 2, 1, 0].map((at) => parseInt(hex.slice(at * 2, at * 2 + 2), 16)).join('.');
};
const files = (folder, depth = 6) => {
  try {
    return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const found = path.join(folder, entry.name);
      return entry.isDirectory() && depth > 0 ? files(found, depth - 1) : entry.isFile() ? [found] : [];
    });
  } catch {
    return [];
  }
};

const attacks = {
  'read the environment of other processes': () =>
    fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name) && CANARY.test(readable(`/proc/${name}/environ`))),
  'read the command lines of other processes': () =>
    fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))
      .filter((name) => /prefect|dockerd|pytest/.test(readable(`/proc/${name}/cmdline`))),
  'find a secret in its own environment': () => Object.values(process.env).filter((value) => CANARY.test(value)),
  'find a secret in a file': () =>
    ['/home', '/root', '/run', '/var', '/etc', '/tmp', '/workspace'].flatMap((folder) => files(folder))
      .filter((file) => !file.endsWith('hostile.cjs') && CANARY.test(readable(file).slice(0, 1e6))),
  'read folders of the worker': () => targets.folders.filter((folder) => fs.existsSync(folder)),
  'write into folders of the worker': () =>
    targets.folders.filter((folder) => {
      try {
        fs.writeFileSync(path.join(folder, 'planted'), 'planted');
        return true;
      } catch {
        return false;
      }
    }),
  'reach the Docker engine': async () => [
    ...['/var/run/docker.sock', '/run/docker.sock'].filter((file) => fs.existsSync(file)),
    ...(await Promise.all([2375, 2376].map((port) => connects(gateway(), port)))).filter(Boolean),
  ],
  'reach services of the host': async () =>
    (await Promise.all(targets.ports.flatMap((port) => [gateway(), '127.0.0.1', targets.bridge].filter(Boolean)
      .map((host) => connects(host, port))))).filter(Boolean),
  "reach another run's services": async () =>
    (await Promise.all(targets.services.map(([host, port]) => connects(host, port)))).filter(Boolean),
  'become root': () => {
    const tries = [['su', '-c', 'id -u'], ['unshare', '--user', '--map-root-user', 'id', '-u'], ['setpriv', '--reuid=0', 'id', '-u']];
    return tries.filter((argv) => {
      try {
        return run(...argv).trim() === '0' && argv[0] !== 'unshare';
      } catch {
        return false;
      }
    }).concat(process.getuid() === 0 ? ['root'] : []);
  },
  'mount a file system': () => {
    try {
      run('mount', '-t', 'tmpfs', 'none', '/mnt');
      return ['mount'];
    } catch {
      return [];
    }
  },
  'write to the kernel': () =>
    ['/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/kernel/uevent_helper', '/dev/mem', '/dev/sda']
      .filter((file) => {
        try {
          fs.closeSync(fs.openSync(file, 'r+'));
          return true;
        } catch {
          return false;
        }
      }),
  'change programs of the image': () =>
    ['/usr/local/bin/node', '/bin/sh', '/usr/bin/git', '/etc/passwd'].filter((file) => {
      try {
        fs.appendFileSync(file, '');
        return true;
      } catch {
        return false;
      }
    }),
};

const leave = () => {
  // What a later check or run could fall for: it is looked for from outside.
  fs.mkdirSync('.git/hooks', { recursive: true });
  for (const name of ['post-checkout', 'pre-commit', 'reference-transaction']) {
    fs.writeFileSync(`.git/hooks/${name}`, '#!/bin/sh\ntouch /tmp/kanvaro-hostile-hook\n', { mode: 0o755 });
  }
  run('git', 'config', 'core.fsmonitor', 'touch /tmp/kanvaro-hostile-hook');
  for (const file of files('.git/objects', 4)) {
    fs.chmodSync(file, 0o644);
    fs.writeFileSync(file, 'rewritten');
  }
  for (const name of ['leak.ts', 'package-lock.json']) fs.rmSync(name, { force: true });
  fs.mkdirSync(process.env.npm_config_cache, { recursive: true });
  fs.writeFileSync(path.join(process.env.npm_config_cache, 'poisoned'), 'poisoned');
  const outlive = "setInterval(() => require('fs').writeFileSync('/workspace/alive', String(Date.now())), 50)";
  spawn(process.execPath, ['-e', outlive], { detached: true, stdio: 'ignore' }).unref();
};

(async () => {
  for (const [name, attack] of Object.entries(attacks)) {
    const through = await attack();
    console.log(`ATTACK ${JSON.stringify({ name, through: through.length > 0, how: through.slice(0, 5) })}`);
  }
  leave();
  // It must have begun, or it would show nothing that it does not go on.
  while (!fs.existsSync('/workspace/alive')) await new Promise((resolve) => setTimeout(resolve, 50));
})();
