# Draws digits side by side in a terminal, as many as fit in its width.
# Input: rank|id|label|distance|64 pixels from 0 to 16; rank 0 is the query.
# Variables: columns; colors = 24bit, 256 or none.

BEGIN {
    FS = "|"
    width = 16 # two columns for a pixel make it about square
    gap = "  "
    split("  ,░░,▒▒,▓▓,██", shades, ",")
}

{
    split($5, pixels, " ")
    for (i = 1; i <= 64; i++) pixel[NR, i] = pixels[i]

    if ($1 == 0) {
        label = $3
        caption[NR] = bold(sprintf("%-7s%9s", "query", "label " $3))
        detail[NR] = sprintf("%-16s", "id " $2)
    } else if ($3 == label) {
        caption[NR] = sprintf("%-7s%9s", "#" $1, "label " $3)
        detail[NR] = sprintf("%-8s%8.3f", "id " $2, $4)
    } else {
        caption[NR] = red(sprintf("%-7s%9s", "#" $1, "x label " $3))
        detail[NR] = sprintf("%-8s%8.3f", "id " $2, $4)
    }
}

END {
    if (NR == 0) exit
    fit = int((columns - 1 + length(gap)) / (width + length(gap)))
    if (fit < 1) fit = 1
    lines = ceil(NR / fit)
    each = ceil(NR / lines) # the last line not much shorter than the others

    for (first = 1; first <= NR; first += each) {
        for (y = 0; y < 8; y++) {
            for (n = first; n < first + each && n <= NR; n++)
                printf "%s%s", n == first ? " " : gap, picture_line(n, y)
            print ""
        }
        print_line(caption)
        print_line(detail)
        print ""
    }
}

function ceil(x) { return int(x) < x ? int(x) + 1 : int(x) }

function print_line(texts) {
    for (n = first; n < first + each && n <= NR; n++)
        printf "%s%s", n == first ? " " : gap, texts[n]
    print ""
}

function picture_line(n, y,    line, x) {
    for (x = 1; x <= 8; x++) line = line cell(pixel[n, 8 * y + x] / 16, n == 1)
    return colors == "none" ? line : line "\033[0m"
}

# ink is from 0 to 1. The query is drawn in amber, where there are colours for
# that, the others in white.
function cell(ink, is_query) {
    if (colors == "24bit")
        return sprintf("\033[48;2;%d;%d;%dm  ", 26 + ink * 229,
            28 + ink * (is_query ? 170 : 222), 36 + ink * (is_query ? 40 : 209))
    if (colors == "256") return sprintf("\033[48;5;%dm  ", 233 + ink * 22)
    return shades[1 + ceil(ink * 4)]
}

function bold(text) { return colors == "none" ? text : "\033[1m" text "\033[0m" }

function red(text) { return colors == "none" ? text : "\033[31m" text "\033[0m" }
