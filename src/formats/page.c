/* page.c - reports as pages of HTML that need no network, no script and no other file: the style
 * that they share, text that is safe to show, and the elements of plots as inline SVG. What is
 * drawn, and where, is the caller's business. */
#include "formats/formats.h"

#include <math.h>

/* Both colour schemes; wide tables and plots scroll by themselves on a narrow screen. */
static const char style[] =
    ":root{color-scheme:light dark;--line:#2563eb;--faint:#93c5fd;--other:#dc2626;--grid:#8884;"
    "--good:#15803d;--bad:#b91c1c}\n"
    "@media(prefers-color-scheme:dark){:root{--line:#7db1ff;--faint:#2f5597;--other:#f87171;"
    "--good:#4ade80;--bad:#f87171}}\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}\n"
    ".wide{overflow-x:auto}svg{display:block;width:100%;min-width:34rem;height:auto}\n"
    "svg text{font-size:12px;fill:currentColor}.grid{stroke:var(--grid)}\n"
    "path{fill:none;stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}\n"
    "path.line{stroke:var(--line)}path.faint{stroke:var(--faint);stroke-width:1}\n"
    "path.other{stroke:var(--other);stroke-width:2}\n"
    ".bar{fill:var(--faint)}.whisker{stroke:var(--line);stroke-width:2}.dot{fill:var(--line)}\n"
    "table{border-collapse:collapse;font-size:.9rem}td,th{padding:.15rem 1.2rem .15rem 0;"
    "text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\n"
    "td:first-child,th:first-child{text-align:left}"
    "th{font-weight:600;border-bottom:1px solid var(--grid)}\n"
    "span.line{color:var(--line)}span.faint{color:var(--faint)}span.other{color:var(--other)}\n"
    ".legend{margin:0;font-size:.85rem}.note{opacity:.75;font-size:.9rem}\n"
    "details p{margin:.3rem 0}details{border-top:1px solid var(--grid);padding:.3rem "
    "0}summary{cursor:pointer}\n"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0 .6rem;font-size:.85rem}\n"
    ".good{color:var(--good)}.bad{color:var(--bad)}\n";

void page_begin(buffer *out, const char *program, const char *title) {
    buffer_append_text(out, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                            "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    page_text(out, program, SIZE_MAX);
    buffer_append_text(out, ": ");
    page_text(out, title, SIZE_MAX);
    buffer_printf(out, "</title>\n<style>\n%s</style>\n<h1>", style);
    page_text(out, title, SIZE_MAX);
    buffer_append_text(out, "</h1>\n");
}

void page_end(buffer *out) {
    buffer_append_text(out, "</html>\n");
}

void page_text(buffer *out, const char *text, size_t most) {
    size_t length = text ? strlen(text) : 0, end = length < most ? length : most;
    while (end < length && end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80)
        end--; /* no character is cut */
    for (size_t i = 0; i < end; i++) {
        unsigned char c = (unsigned char)text[i];
        switch (c) {
        case '&': buffer_append_text(out, "&amp;"); break;
        case '<': buffer_append_text(out, "&lt;"); break;
        case '>': buffer_append_text(out, "&gt;"); break;
        case '"': buffer_append_text(out, "&quot;"); break;
        default:
            /* HTML has no other control characters. */
            if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
                buffer_append_text(out, "\xef\xbf\xbd");
            else
                buffer_append_char(out, text[i]);
        }
    }
    if (end < length)
        buffer_append_text(out, " ...");
}

/* ---- Plots -------------------------------------------------------------------------------- */

void svg_begin(buffer *out, double width, double height, const char *label) {
    buffer_printf(out,
                  "<div class=\"wide\"><svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"",
                  width, height);
    page_text(out, label, SIZE_MAX);
    buffer_append_text(out, "\">\n");
}

void svg_end(buffer *out) {
    buffer_append_text(out, "</svg></div>\n");
}

void svg_line(buffer *out, const char *class, double x1, double y1, double x2, double y2) {
    buffer_printf(out, "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                  class, x1, x2, y1, y2);
}

void svg_text(buffer *out, double x, double y, svg_anchor anchor, const char *text, size_t most) {
    static const char *const names[] = {"start", "middle", "end"};
    buffer_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, names[anchor]);
    page_text(out, text, most);
    buffer_append_text(out, "</text>\n");
}

double svg_round_step(double range, int ticks) {
    double step = pow(10, floor(log10(range / ticks)));
    while (range / step > ticks)
        step *= range / (step * 2) <= ticks ? 2 : range / (step * 5) <= ticks ? 5 : 10;
    return step;
}
