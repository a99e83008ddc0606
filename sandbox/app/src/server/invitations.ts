import { createTransport } from 'nodemailer';
import { z } from 'zod';
import type { Environment } from '@/server/environment';

const TIMEOUT_MILLISECONDS = 10_000;

/** What a client may send to invite somebody. */
export const newInvitation = z.strictObject({
  email: z.email('must be an e-mail address').max(254, 'must have at most 254 characters'),
});

export type Mail = Pick<
  Environment,
  'SMTP_HOST' | 'SMTP_PORT' | 'SMTP_USER' | 'SMTP_PASS' | 'SMTP_FROM' | 'SMTP_CA'
>;

/** This server was given no SMTP_HOST. */
export class NoMail extends Error {
  override readonly name = 'NoMail';
}

// A connection for each mail: it logs in with what this server was started with, each time.
function transport(mail: Mail & { SMTP_HOST: string }) {
  const { SMTP_USER: user, SMTP_PASS: pass, SMTP_CA: ca } = mail;
  return createTransport({
    host: mail.SMTP_HOST,
    port: mail.SMTP_PORT,
    // Never in the clear: 465 begins with TLS, any other port has to offer STARTTLS (RFC 3207).
    secure: mail.SMTP_PORT === 465,
    requireTLS: true,
    ...(user && pass ? { auth: { user, pass } } : {}),
    ...(ca ? { tls: { ca } } : {}),
    connectionTimeout: TIMEOUT_MILLISECONDS,
    greetingTimeout: TIMEOUT_MILLISECONDS,
    socketTimeout: TIMEOUT_MILLISECONDS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

/**
 * Sends an invitation from `inviter`.
 *
 * @throws NoMail, or nodemailer's error when the mail server did not take it
 */
export async function invite(inviter: string, email: string, mail: Mail): Promise<void> {
  const { SMTP_HOST, SMTP_FROM } = mail;
  if (!SMTP_HOST) throw new NoMail();
  await transport({ ...mail, SMTP_HOST }).sendMail({
    from: SMTP_FROM,
    to: { name: '', address: email },
    subject: 'An invitation to Kanvaro',
    text: `${inviter} invites you to Kanvaro.\n`,
  });
}
