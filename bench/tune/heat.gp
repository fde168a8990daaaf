# Panels of two parameters each, the same one across; in each cell the change against the base's cell.
# Given: $P1 ... $Pn (column, row, colour, words), title_1 ... title_n, and so y_name_, y_n_ and
# y_tics_ (commands), n, rows, columns, width, height, left, gap_x, gap_y (pixels), title_font,
# cell_font, heading, x_name, x_n, x_tics, base, machine, measured, system.
set multiplot layout rows, columns rowsfirst downwards \
  margins screen 1.0 * left / width, screen 0.985, screen 55.0 / height, screen 1 - 105.0 / height \
  spacing screen 1.0 * gap_x / width, screen 1.0 * gap_y / height
set label 1 '{/:Bold '.system.': '.heading.'}, '.measured \
  at screen 0.5, screen 1 offset 0, -1.5 center font ',15'
set label 2 machine at screen 0.5, screen 1 offset 0, -3 center font ',10'
set label 3 'change against '.base.'; the lighter the better' \
  at screen 0.5, screen 1 offset 0, -4.3 center font ',10'
unset key
set style fill solid 1 border lc rgb '#444444'
set border 0
set xrange [-0.5:x_n - 0.5]
eval(x_tics)
set xtics scale 0 font ',9'
set ytics scale 0 font ',9'
set xlabel x_name font ',9' offset 0, 0.6
do for [i = 1:n] {
  eval(value(sprintf('y_tics_%d', i)))
  set yrange [-0.5:value(sprintf('y_n_%d', i)) - 0.5]
  set ylabel value(sprintf('y_name_%d', i)) font ',9' offset 0, 0
  set title '{/:Bold '.value(sprintf('title_%d', i)).'}' font title_font offset 0, -0.7
  plot '$P'.i using 1:2:($1 - 0.5):($1 + 0.5):($2 - 0.5):($2 + 0.5):3 with boxxyerror \
         lc rgb variable, \
       '$P'.i using 1:2:4 with labels font cell_font
  unset label
}
unset multiplot
