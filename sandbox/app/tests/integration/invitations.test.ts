import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { generate } from 'selfsigned';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { afterEach, expect, test, vi } from 'vitest';
import { POST } from '@/app/api/invitations/route';
import * as environment from '@/server/environment';
import { issueTokens } from '@/server/tokens';

const LOGIN = { SMTP_USER: 'kanvaro', SMTP_PASS: 'canary-pass' };
const servers: SMTPServer[] = [];
const mails: string[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  mails.length = 0;
  for (const server of servers.splice(0)) {
    await new Promise<void>((closed) => {
      server.close(closed);
    });
  }
});

/** A mail server of this machine with STARTTLS and a login; what an application is told of it. */
async function mailServer(options: SMTPServerOptions = {}): Promise<Record<string, unknown>> {
  const altNames = [{ type: 7 as const, ip: '127.0.0.1' }];
  const { private: key, cert } = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
    extensions: [{ name: 'subjectAltName', altNames }],
  });
  const server = new SMTPServer({
    key,
    cert,
    onAuth: ({ username, password }, _session, done) => {
      const known = username === LOGIN.SMTP_USER && password === LOGIN.SMTP_PASS;
      if (known) done(null, { user: username });
      else done(new Error('no'));
    },
    onData: (stream, _session, done) => {
      void text(stream).then((mail) => {
        mails.push(mail);
        done();
      });
    },
    ...options,
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  const { port } = server.server.address() as AddressInfo;
  const where = { SMTP_HOST: '127.0.0.1', SMTP_PORT: port, SMTP_FROM: 'noreply@kanvaro.test' };
  return { ...where, ...LOGIN, SMTP_CA: cert };
}

async function invite(mail: Record<string, unknown>, email = 'grace@kanvaro.test') {
  const told = { ...environment.environment(), ...mail };
  vi.spyOn(environment, 'environment').mockReturnValue(told);
  const { accessToken } = await issueTokens('Ada', told);
  const headers = { Authorization: `Bearer ${accessToken}`, 'Content-Type': 'application/json' };
  const init = { method: 'POST', headers, body: JSON.stringify({ email }) };
  return POST(new Request('http://kanvaro.test/', init));
}

test('an invitation is mailed by the server whose certificate is trusted', async () => {
  const answer = await invite(await mailServer());
  expect(answer.status).toBe(202);
  expect(mails).toHaveLength(1);
  expect(mails[0]).toMatch(/^To: grace@kanvaro\.test\r$/m);
  expect(mails[0]).toContain('Ada invites you to Kanvaro.');
});

test('a password that is refused is a failure that tells nothing', async () => {
  const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const answer = await invite({ ...(await mailServer()), SMTP_PASS: 'canary-wrong' });
  expect(answer.status).toBe(503);
  const said = JSON.stringify(written.mock.calls) + (await answer.text());
  expect(said).toContain('authentication failed');
  expect(said).not.toContain('canary');
  expect(mails).toEqual([]);
});

test.each<[string, SMTPServerOptions, Record<string, unknown>]>([
  ['offers no TLS', { hideSTARTTLS: true, disabledCommands: ['STARTTLS'] }, {}],
  ['shows a certificate that nobody vouches for', {}, { SMTP_CA: undefined }],
])('a mail server that %s is sent no password', async (_, options, mail) => {
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const onAuth = vi.fn<NonNullable<SMTPServerOptions['onAuth']>>();
  const server = await mailServer({ ...options, allowInsecureAuth: true, onAuth });
  expect((await invite({ ...server, ...mail })).status).toBe(503);
  expect(onAuth).not.toHaveBeenCalled();
});

test('an application without a mail server says that it sends no mail', async () => {
  expect((await invite({ SMTP_HOST: undefined })).status).toBe(501);
});

test('what is no address is refused before any mail is sent', async () => {
  const server = await mailServer();
  for (const email of ['grace', 'a@b.test, c@d.test', 'a@b.test\r\nBcc: c@d.test']) {
    expect((await invite(server, email)).status).toBe(400);
  }
  expect(mails).toEqual([]);
});

test('nobody invites without a token', async () => {
  const answer = await POST(new Request('http://kanvaro.test/', { method: 'POST' }));
  expect(answer.status).toBe(401);
});
