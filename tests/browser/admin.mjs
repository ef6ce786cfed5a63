// A person in a browser: logs in to Django's admin, adds a book with a cover, sees it listed, and logs out.
// Arguments: the address, and where the screenshot goes.
import { chromium } from "playwright-core";

const [address, screenshot] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  const failed = [];
  page.on("response", (response) => response.status() >= 400 && failed.push(`${response.status()} ${response.url()}`));
  page.on("pageerror", (error) => failed.push(String(error)));
  await page.goto(`${address}/admin/`);
  await page.fill("#id_username", "admin");
  await page.fill("#id_password", "first password");
  await page.click("input[type=submit]");
  await page.waitForSelector("text=Site administration");
  await page.click(".model-book .addlink");
  await page.fill("#id_title", "Flatland");
  await page.fill("#id_author", "Edwin A. Abbott");
  await page.setInputFiles("#id_cover", { name: "square.txt", mimeType: "text/plain", buffer: Buffer.from("a square") });
  await page.click("input[name=_save]");
  await page.waitForSelector("li.success");
  const listed = await page.textContent("#result_list");
  // The page has its styles: the header has Django's colour, not a browser's.
  const color = await page.evaluate(() => getComputedStyle(document.querySelector("#header")).backgroundColor);
  await page.screenshot({ path: screenshot });
  await page.click("text=Log out");
  await page.waitForSelector("text=Thanks for spending some quality time");
  console.log(JSON.stringify({ listed: listed.replace(/\s+/g, " ").trim(), color, failed }));
} finally {
  await browser.close();
}
