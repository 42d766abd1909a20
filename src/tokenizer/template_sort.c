/* template_sort.c - a stable merge sort whose comparison may fail. qsort could neither stop at
 * the first pair that has no order, nor promise that equal items stay in their order, nor be
 * given the rendering whose work it spends. Only `<` is asked, as Python does, so an order that
 * is none (NaN) gives Python's result or at least ends. */
#include "tokenizer/template.h"

/* Merges the sorted runs start..middle-1 and middle..end-1. */
static bool merge(render *r, const sort_item *from, sort_item *to, size_t start, size_t middle,
                  size_t end, bool reverse) {
    for (size_t i = start, j = middle, k = start; k < end; k++) {
        bool second = i == middle;
        if (i < middle && j < end) {
            int order;
            if (!value_order(r, &from[j].key, &from[i].key, "<", &order))
                return false;
            second = order == (reverse ? 1 : -1); /* equal keys keep their order */
        }
        to[k] = second ? from[j++] : from[i++];
    }
    return true;
}

bool items_sort(render *r, sort_item *items, size_t count, bool reverse) {
    sort_item *from = items, *to = render_array(r, count, sizeof *to);
    if (!to)
        return false;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t start = 0; start < count; start += 2 * width) {
            size_t middle = start + width < count ? start + width : count;
            size_t end = middle + width < count ? middle + width : count;
            if (!merge(r, from, to, start, middle, end, reverse))
                return false;
        }
        sort_item *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
    return true;
}
