import { randomBytes } from 'node:crypto';
import { type Page, expect, test } from '@playwright/test';

function uniqueName(word: string): string {
  return `${word} ${randomBytes(4).toString('hex')}`;
}

async function add(page: Page, name: string, description = ''): Promise<void> {
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Description').fill(description);
  await page.getByRole('button', { name: 'Add project' }).click();
}

function listed(page: Page, name: string) {
  return page.getByRole('list', { name: 'Projects' }).getByText(name, { exact: true });
}

test('a project that is added appears at once and after a reload', async ({ page }) => {
  const name = uniqueName('Bridge');
  await page.goto('/');
  await add(page, name, 'Over the river');
  await expect(listed(page, name)).toBeVisible();
  await page.reload();
  await expect(listed(page, name)).toBeVisible();
});

test('a name that is taken is said to be taken', async ({ page }) => {
  const name = uniqueName('Tunnel');
  await page.goto('/');
  await add(page, name);
  await expect(listed(page, name)).toBeVisible();
  await add(page, name.toUpperCase());
  await expect(page.getByRole('status')).toHaveText('name is taken');
});

test('an empty name is refused by the server with its reason', async ({ page }) => {
  await page.goto('/');
  await add(page, '   ');
  await expect(page.getByRole('status')).toHaveText('name must not be empty');
});

test('markup in a project is shown as text and not run', async ({ page }) => {
  const name = `<img src=x onerror="document.title='owned'"> ${uniqueName('x')}`;
  await page.goto('/');
  await add(page, name, '</li><script>document.title="owned"</script>');
  await expect(listed(page, name)).toBeVisible();
  await page.reload();
  await expect(listed(page, name)).toBeVisible();
  await expect(page).toHaveTitle('Kanvaro');
});

test('each visit is counted', async ({ page }) => {
  const visits = async () => {
    await page.goto('/');
    const text = await page.getByTestId('visits').innerText();
    return Number(/^Visit (\d+)$/.exec(text)?.[1]);
  };
  const first = await visits();
  expect(await visits()).toBeGreaterThan(first);
});

test('the page breaks no rule of its own content security policy', async ({ page }) => {
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  const answer = await page.goto('/', { waitUntil: 'networkidle' });
  expect(answer?.headers()['content-security-policy']).toContain("frame-ancestors 'none'");
  expect(answer?.headers()['x-powered-by']).toBeUndefined();
  expect(complaints).toEqual([]);
});
