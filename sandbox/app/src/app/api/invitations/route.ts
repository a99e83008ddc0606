import { bearer } from '@/server/bearer';
import { environment } from '@/server/environment';
import { Refusal, answer, json, readBody } from '@/server/http';
import { NoMail, invite, newInvitation } from '@/server/invitations';
import { exceedsRateLimit } from '@/server/rate-limit';

export const dynamic = 'force-dynamic';

export function POST(request: Request): Promise<Response> {
  return answer(async () => {
    if (await exceedsRateLimit(request)) throw new Refusal(429, 'too many requests; try later');
    const inviter = await bearer(request);
    const { email } = await readBody(request, newInvitation);
    try {
      await invite(inviter, email, environment());
    } catch (error) {
      if (!(error instanceof NoMail)) throw error;
      throw new Refusal(501, 'this server sends no mail');
    }
    return json({ invited: email }, 202);
  });
}
